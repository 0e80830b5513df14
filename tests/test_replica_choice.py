"""Who keeps a place, while a roster changes: against a model that looks at every choice."""

from itertools import combinations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.identity.ids import NodeId
from qisguard.identity.roster import Issuer, Roster
from qisguard.node.operations import roster_replicas
from tests.builders import DAY, NETWORK, make_identity, make_node

PLACES = [NodeId(0), NodeId((1 << 256) - 1), make_identity(500).id, make_identity(501).id]


def _by_trying(homes: dict[NodeId, str], place: NodeId, count: int, each: int) -> list[NodeId]:
    """Return the best of all allowed choices: as many as may be, then the nearest ones.

    Choices are compared by their sorted distances, which is what "the closest" means.
    """
    for size in range(min(count, len(homes)), 0, -1):
        allowed = [
            sorted(chosen, key=lambda node: node ^ place)
            for chosen in combinations(homes, size)
            if all(sum(homes[n] == homes[m] for m in chosen) <= each for n in chosen)
        ]
        if allowed:
            return min(allowed, key=lambda chosen: [node ^ place for node in chosen])
    return []


class RosterMachine(RuleBasedStateMachine):
    """Nodes are enrolled, move between issuers and leave; places never move."""

    @initialize(count=st.integers(1, 4), each=st.integers(1, 3))
    def begin(self, count: int, each: int) -> None:
        """Draw the limits."""
        self.count, self.each = count, each
        self.homes: dict[NodeId, str] = {}

    @rule(node=st.integers(0, 8), issuer=st.integers(0, 3))
    def enrol(self, node: int, issuer: int) -> None:
        """Enter a node, or move it to another issuer."""
        self.homes[make_identity(node).id] = f"issuer-{issuer}"

    @rule(node=st.integers(0, 8))
    def leave(self, node: int) -> None:
        """Take a node off the roster."""
        self.homes.pop(make_identity(node).id, None)

    @invariant()
    def replicas_are_the_best_allowed_choice(self) -> None:
        """Compare the choice for each place with that of the model."""
        if not hasattr(self, "homes"):
            return
        roster = _roster(self.homes)
        for place in PLACES:
            chosen = roster_replicas(roster, place, self.count, self.each)
            assert chosen == _by_trying(self.homes, place, self.count, self.each)


def _roster(homes: dict[NodeId, str]) -> Roster:
    names = sorted(set(homes.values()))
    members = {name: tuple(n for n, home in homes.items() if home == name) for name in names}
    return Roster(NETWORK.id, 1, tuple(Issuer(n, DAY, (), members[n]) for n in names))


RosterMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestReplicasOfARoster = RosterMachine.TestCase


@pytest.mark.rule("N-23")
def test_exactly_the_replicas_of_a_place_take_it_for_theirs() -> None:
    homes = {make_identity(index).id: f"issuer-{index % 4}" for index in range(9)}
    roster = _roster(homes)
    config = NodeConfig(replica_rule=ReplicaRule.ROSTER, replica_count=3, replicas_per_issuer=1)
    nodes = [make_node(index, config=config, roster=roster) for index in range(9)]
    for place in PLACES:
        chosen = set(_by_trying(homes, place, 3, 1))
        assert {node.me.id for node in nodes if node._server.is_replica(place)} == chosen
