"""A log with two histories is found by every honest node, and nobody else is blamed."""

import asyncio

import pytest

from qisguard.lab.split_view import Noticed, SplitView, run_split_view

SMALL = SplitView(nodes=12)


def _run(view: SplitView, seed: int = 1) -> Noticed:
    return asyncio.run(run_split_view(view, seed))


@pytest.mark.parametrize(("share", "loss"), [(1.0, 0.0), (0.5, 0.0), (1.0, 0.1)])
def test_every_honest_node_gets_the_evidence_and_no_honest_log_is_blamed(
    share: float, loss: float
) -> None:
    noticed = _run(SplitView(nodes=12, honest_share=share, loss_ratio=loss))
    assert noticed.first is not None
    assert noticed.last is not None
    assert noticed.last <= 20 * SMALL.interval
    assert noticed.holders == noticed.honest == (11 if share == 1.0 else 6)
    assert (noticed.blamed, noticed.silent) == (0, 0)


def test_histories_that_never_meet_in_size_are_silent_and_prove_nothing() -> None:
    noticed = _run(SplitView(nodes=12, apart=True, limit=1_500.0))
    assert (noticed.first, noticed.holders, noticed.blamed, noticed.silent) == (None, 0, 0, 0)
    assert noticed.liar_silent >= 8


def test_the_same_seed_gives_the_same_run() -> None:
    view = SplitView(nodes=6, limit=300.0)
    assert _run(view, 3) == _run(view, 3)
