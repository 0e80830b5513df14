"""The figure of S/Kademlia, against an independent Monte Carlo and its own closed formula."""

import numpy as np
import pytest

from qisguard.lab.model.figure import Point, draw_figure, path_lengths, success_ratio


@pytest.fixture(scope="module")
def figure() -> dict[tuple[int, float], Point]:
    points = draw_figure(1, paths=(1, 4, 8), adversaries=(0.0, 0.2, 0.5))
    return {(p.disjoint_paths, p.adversary_ratio): p for p in points}


@pytest.mark.parametrize(
    ("d", "ratio", "percent"), [(1, 0.2, 70.7), (1, 0.5, 36.1), (4, 0.2, 98.8), (8, 0.5, 90.9)]
)
def test_points_agree_with_an_independent_monte_carlo(
    figure: dict[tuple[int, float], Point], d: int, ratio: float, percent: float
) -> None:
    assert 100 * figure[d, ratio].success_ratio == pytest.approx(percent, abs=1.5)


def test_no_adversary_no_failure(figure: dict[tuple[int, float], Point]) -> None:
    for d in (1, 4, 8):
        point = figure[d, 0.0]
        assert (point.successes, point.exposed) == (point.look_ups, 0.0)
        assert point.expected == pytest.approx(1.0)


def test_the_closed_formula_holds_where_there_is_one_path(
    figure: dict[tuple[int, float], Point],
) -> None:
    """With more, paths differ in length, which it does not know: it gives up to 3 points less."""
    for (d, _), point in figure.items():
        gap = 100 * (point.success_ratio - point.expected)
        assert abs(gap) < 1.2 if d == 1 else -1.0 < gap < 3.5


def test_more_paths_show_the_query_to_more_adversaries(
    figure: dict[tuple[int, float], Point],
) -> None:
    assert figure[1, 0.2].exposed < 0.35
    assert figure[8, 0.2].exposed > 0.9
    assert figure[8, 0.2].messages > 9 * figure[1, 0.2].messages


def test_the_closed_formula_gives_the_published_check() -> None:
    """F = .2, h = 5, d = 3 give .696 (a wrong variant that circulates gives .73)."""
    lengths = np.zeros(6)
    lengths[5] = 1.0
    assert success_ratio(lengths, 0.2, 3) == pytest.approx(0.696, abs=0.0005)


def test_failed_paths_have_no_length() -> None:
    hops = np.array([[1, -1], [2, 2]], np.int16)
    assert path_lengths(hops).tolist() == pytest.approx([0, 1 / 3, 2 / 3])
