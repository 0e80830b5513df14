"""The array engine against plain Python, and what must hold of every look-up."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.lab.model.lookups import Adversary, Ends, LookUps, LookUpSettings, look_ups
from qisguard.lab.model.network import Network, build, draw_questions
from qisguard.lab.model.tables import known_nearest
from tests.model_reference import Answer, Reference

networks = st.builds(
    build,
    size=st.integers(2, 150),
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


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
