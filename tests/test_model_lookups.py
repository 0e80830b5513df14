"""The array engine against plain Python, and what must hold of every look-up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import ScenarioError
from qisguard.lab.model.lookups import Adversary, Ends, LookUps, LookUpSettings, look_ups
from qisguard.lab.model.network import Network, Questions, build, draw_questions
from qisguard.lab.model.shortlists import colluders_for, forget
from qisguard.lab.model.tables import known_nearest
from tests.model_reference import Answer, Reference

networks = st.builds(
    build,
    size=st.integers(2, 120),
    adversary_ratio=st.sampled_from([0.0, 0.1, 0.3, 0.45]),
    seed=st.integers(0, 2**64 - 1),
    k=st.integers(1, 9),
    siblings=st.integers(1, 30),
)


def _answer(network: Network, result: LookUps, index: int) -> Answer:
    found = result.found[index]
    return Answer(
        [int(i) for i in network.ids[found[found >= 0]]],
        int(result.hops[index]),
        int(result.messages[index]),
        bool(result.adversary_saw[index]),
        [int(h) for h in result.path_hops[index]],
    )


@settings(max_examples=40, deadline=None)
@given(network=networks, target=st.integers(0, 2**64 - 1), count=st.integers(1, 20))
def test_a_node_knows_whom_a_table_of_sets_would_hold(
    network: Network, target: int, count: int
) -> None:
    reference = Reference(network)
    asker = int(network.ids[-1])
    for node in range(0, network.size, 7):
        out = np.empty(count + network.k + network.siblings, np.int32)
        size = known_nearest(network.arrays, node, np.uint64(target), network.size - 1, count, out)
        expected = reference.reply(int(network.ids[node]), target, asker, count)
        assert {int(i) for i in network.ids[out[:size]]} == set(expected)


@settings(max_examples=40, deadline=None)
@given(
    network=networks,
    seed=st.integers(0, 2**32),
    d=st.integers(1, 5),
    adversary=st.sampled_from(Adversary),
)
def test_paths_to_siblings_are_those_of_plain_python(
    network: Network, seed: int, d: int, adversary: Adversary
) -> None:
    reference = Reference(network)
    questions = draw_questions(network, 6, seed)
    wanted = LookUpSettings(count=d, disjoint_paths=d, adversary=adversary)
    result = look_ups(network, questions, wanted)
    for index, (target, start) in enumerate(zip(questions.targets, questions.starts, strict=True)):
        expected = reference.reach_siblings(int(target), int(network.ids[start]), d, adversary)
        assert _answer(network, result, index) == expected
        assert result.success[index] == bool(expected.found)


@settings(max_examples=40, deadline=None)
@given(
    network=networks,
    seed=st.integers(0, 2**32),
    d=st.integers(1, 4),
    count=st.integers(1, 8),
    alpha=st.integers(1, 4),
    adversary=st.sampled_from(Adversary),
)
def test_look_ups_are_those_of_the_node(
    network: Network, seed: int, d: int, count: int, alpha: int, adversary: Adversary
) -> None:
    """Oracle: ``qisguard.node.lookup`` itself, over the same tables."""
    reference = Reference(network)
    questions = draw_questions(network, 6, seed)
    wanted = LookUpSettings(count, d, alpha, Ends.CLOSEST, adversary)
    result = look_ups(network, questions, wanted)
    for index, (target, start) in enumerate(zip(questions.targets, questions.starts, strict=True)):
        own = int(network.ids[start])
        expected = reference.find_closest(int(target), own, d, count, alpha, adversary)
        answer = _answer(network, result, index)
        assert (answer.found, answer.hops) == (expected.found, expected.hops)
        assert answer.messages == expected.messages
        assert answer.adversary_saw == expected.adversary_saw
        honest = [i for i in reference.closest(int(target), network.size) if i not in reference.bad]
        others = [i for i in honest if i != own]
        assert result.success[index] == bool(others and others[0] in expected.found)


def test_a_path_that_knows_more_than_its_bound_forgets_as_the_node_does() -> None:
    """Replies of 60 contacts and two wanted: the bound of 80 is passed with each reply."""
    network = build(3000, 0.3, 5, k=60, siblings=40)
    reference = Reference(network)
    questions = draw_questions(network, 3, 6)
    for adversary in Adversary:
        wanted = LookUpSettings(2, 2, 3, Ends.CLOSEST, adversary)
        result = look_ups(network, questions, wanted)
        for index in range(3):
            expected = reference.find_closest(
                int(questions.targets[index]),
                int(network.ids[questions.starts[index]]),
                2,
                2,
                3,
                adversary,
            )
            answer = _answer(network, result, index)
            assert (answer.found, answer.hops, answer.messages) == (
                expected.found,
                expected.hops,
                expected.messages,
            )


ATTACKED = build(2_000, 0.3, 11)
QUESTIONS = draw_questions(ATTACKED, 101, 12)


@pytest.mark.parametrize("ends", Ends)
@pytest.mark.parametrize("adversary", Adversary)
def test_threads_change_nothing(ends: Ends, adversary: Adversary) -> None:
    wanted = LookUpSettings(8, 3, 1, ends, adversary)
    alone = look_ups(ATTACKED, QUESTIONS, wanted)
    for threads in (2, 7, 200):
        together = look_ups(ATTACKED, QUESTIONS, wanted, threads)
        for name in LookUps.__slots__:
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))


@pytest.mark.parametrize("ends", Ends)
@pytest.mark.parametrize("d", [1, 4])
def test_every_look_up_succeeds_without_adversaries(ends: Ends, d: int) -> None:
    network = build(5_000, 0.0, 3)
    result = look_ups(network, draw_questions(network, 400, 4), LookUpSettings(16, d, 1, ends))
    assert result.success.all()
    assert not result.adversary_saw.any()
    assert (result.path_hops >= 0).all()


@pytest.mark.parametrize("ends", Ends)
def test_adversaries_that_behave_only_see(ends: Ends) -> None:
    wanted = LookUpSettings(8, 2, 1, ends, Adversary.HONEST)
    result = look_ups(ATTACKED, QUESTIONS, wanted)
    assert result.success.all()
    assert result.adversary_saw.mean() > 0.4


@pytest.mark.parametrize("ends", Ends)
def test_more_paths_cost_messages_and_show_the_target_to_more(ends: Ends) -> None:
    one, eight = (look_ups(ATTACKED, QUESTIONS, LookUpSettings(8, d, 1, ends)) for d in (1, 8))
    assert eight.success.sum() >= one.success.sum()
    assert eight.messages.mean() > 4 * one.messages.mean()
    assert eight.adversary_saw.mean() >= one.adversary_saw.mean()


def test_silent_nodes_cost_messages_where_paths_go_on() -> None:
    honest, silent = (
        look_ups(ATTACKED, QUESTIONS, LookUpSettings(16, 1, 3, Ends.CLOSEST, adversary))
        for adversary in (Adversary.HONEST, Adversary.DROP)
    )
    assert silent.success.all()
    assert silent.messages.mean() > 1.2 * honest.messages.mean()
    assert not ATTACKED.adversary[silent.found[silent.found >= 0]].any()


def test_colluders_crowd_the_answer_and_disjoint_paths_bring_honest_nodes_back() -> None:
    one, eight = (
        look_ups(ATTACKED, QUESTIONS, LookUpSettings(16, d, 1, Ends.CLOSEST, Adversary.COLLUDE))
        for d in (1, 8)
    )
    assert one.success.mean() < 0.95
    assert eight.success.all()


def test_hops_grow_by_the_same_amount_for_ten_times_the_nodes() -> None:
    """Kademlia, section 2.3: O(log n). Each hop gains about log2(16) + 1 bits."""
    means = []
    for size in (1_000, 10_000, 100_000):
        network = build(size, 0.0, 7)
        result = look_ups(network, draw_questions(network, 4_000, 8), LookUpSettings())
        means.append(result.hops.mean())
    steps = np.diff(means)
    assert steps == pytest.approx([0.62, 0.62], abs=0.06)


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 0), ("count", 257), ("disjoint_paths", 0), ("disjoint_paths", 65), ("alpha", 0)],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: int) -> None:
    changed: dict[str, Any] = {name: value}
    with pytest.raises(ScenarioError, match=f"{name} = {value}, must be 1 to"):
        LookUpSettings(**changed)


def test_a_path_to_a_sibling_asks_one_node_at_a_time() -> None:
    with pytest.raises(ScenarioError, match="alpha = 3, must be 1 where paths end at siblings"):
        LookUpSettings(alpha=3)


@pytest.mark.parametrize("threads", [0, 257])
def test_threads_out_of_range_are_refused(threads: int) -> None:
    with pytest.raises(ScenarioError, match=f"threads = {threads}, must be 1 to 256"):
        look_ups(ATTACKED, QUESTIONS, LookUpSettings(), threads)


def test_no_questions_have_no_answers() -> None:
    none = Questions(QUESTIONS.targets[:0], QUESTIONS.starts[:0])
    for ends in Ends:
        assert look_ups(ATTACKED, none, LookUpSettings(ends=ends)).success.size == 0


def test_a_start_that_is_no_node_is_refused() -> None:
    for starts in ([0, 2_000], [-1, 0], [0]):
        questions = Questions(QUESTIONS.targets[:2], np.array(starts))
        with pytest.raises(ValueError, match="starts must be 2 positions below 2000"):
            look_ups(ATTACKED, questions, LookUpSettings())


@pytest.mark.parametrize("size", range(2, 9))
def test_everybody_is_a_sibling_where_there_are_fewer_nodes_than_siblings(size: int) -> None:
    network = build(size, 0.0, size, siblings=30)
    result = look_ups(network, draw_questions(network, 50, 1), LookUpSettings())
    assert result.success.all()
    assert not result.messages.any()


def test_a_path_gives_up_after_as_many_silent_nodes_as_the_nodes_path_does() -> None:
    network = build(600, 0.98, 3, k=200, siblings=400)
    questions = draw_questions(network, 4, 4)
    result = look_ups(network, questions, LookUpSettings(1, 1, 1, Ends.CLOSEST))
    reference = Reference(network)
    for index, (target, start) in enumerate(zip(questions.targets, questions.starts, strict=True)):
        own = int(network.ids[start])
        expected = reference.find_closest(int(target), own, 1, 1, 1, Adversary.DROP)
        assert result.messages[index] == expected.messages
    assert result.messages.max() > 30


def test_what_is_forgotten_is_far_and_was_not_asked() -> None:
    known, distance = np.arange(6, dtype=np.int32), np.arange(6, dtype=np.uint64)
    state, hops = np.array([0, 0, 0, 2, 0, 1], np.int16), np.arange(6, dtype=np.int16)
    assert forget(2, 6, known, distance, state, hops) == 4
    assert known[:4].tolist() == distance[:4].tolist() == hops[:4].tolist() == [0, 1, 3, 5]
    assert state[:4].tolist() == [0, 0, 2, 1]


def test_colluders_name_only_those_nearer_than_themselves() -> None:
    network = build(50, 1.0, 1)
    target = network.ids[20] ^ np.uint64(1)
    by_distance = sorted(range(50), key=lambda i: int(network.ids[i] ^ target))
    circle, out = np.array(by_distance[:8], np.int32), np.empty(8, np.int32)
    size = colluders_for(network.arrays, by_distance[3], target, circle, 8, out)
    assert out[:size].tolist() == by_distance[:3]
