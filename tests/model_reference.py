"""What the array engine computes, again, in plain Python: sets, sorting, the node's own look-up."""

from dataclasses import dataclass
from functools import cache

from qisguard.identity.ids import NodeId
from qisguard.lab.model.lookups import Adversary
from qisguard.lab.model.network import Network
from qisguard.node.contact import Contact
from qisguard.node.lookup import Lookup

WORD = 2**64 - 1
ADDRESS = ("127.0.0.1", 1)


@dataclass(frozen=True)
class Answer:
    """What one look-up brought; contacts are ids."""

    found: list[int]
    hops: int
    messages: int
    adversary_saw: bool
    path_hops: list[int]


class Reference:
    """A network whose tables are sets and whose searches are sorts."""

    def __init__(self, network: Network) -> None:
        self.ids = [int(i) for i in network.ids]
        self.bad = {int(i) for i in network.ids[network.adversary]}
        self.k = network.k
        self.siblings = network.siblings
        self.seed = network.seed
        self.table = cache(self._table)

    def closest(self, target: int, count: int) -> list[int]:
        """Return the nodes closest to a target, nearest first."""
        return sorted(self.ids, key=lambda i: i ^ target)[:count]

    def _table(self, node: int) -> frozenset[int]:
        known = set(self.closest(node, self.siblings + 1))
        buckets: dict[int, list[int]] = {}
        for other in self.ids:
            buckets.setdefault(64 - (other ^ node).bit_length(), []).append(other)
        for depth, shared in buckets.items():
            known |= set(self._draw(node, depth, shared))
        return frozenset(known - {node})

    def _draw(self, node: int, depth: int, shared: list[int]) -> list[int]:
        if len(shared) <= self.k:
            return shared
        state = _mix(self.seed ^ _mix((node + depth) & WORD))
        places: list[int] = []
        for top in range(len(shared) - self.k, len(shared)):
            state = (state + 0x9E3779B97F4A7C15) & WORD
            place = ((_mix(state) >> 32) * (top + 1)) >> 32
            places.append(top if place in places else place)
        return [shared[place] for place in places]

    def reply(self, node: int, target: int, asker: int, count: int) -> list[int]:
        """Return the contacts of a node that are nearest to a target, without the asker."""
        known = self.table(node) - {asker}
        return sorted(known, key=lambda i: i ^ target)[:count]

    def reach_siblings(self, target: int, start: int, d: int, adversary: Adversary) -> Answer:
        """Look up as S/Kademlia's authors count it."""
        siblings = set(self.closest(target, self.siblings))
        if start in siblings:
            return Answer([start], 0, 0, False, [0] * d)
        dealt = self.reply(start, target, start, max(self.k, d))
        heard = [set(dealt[path::d]) for path in range(d)]
        asked: list[list[int]] = [[] for _ in range(d)]
        used: set[int] = set()
        hops = [-1] * d
        live = set(range(d))
        found = []
        while live:
            for path in sorted(live):
                fresh = heard[path] - used
                if not fresh:
                    live.discard(path)
                    continue
                node = min(fresh, key=lambda i: i ^ target)
                used.add(node)
                asked[path].append(node)
                if node in self.bad and adversary is not Adversary.HONEST:
                    live.discard(path)
                elif node in siblings:
                    live.discard(path)
                    hops[path] = len(asked[path])
                    found.append(node)
                else:
                    heard[path] |= set(self.reply(node, target, start, self.k))
        best = min((h for h in hops if h >= 0), default=0)
        return Answer(found, best, len(used), bool(used & self.bad), hops)

    def find_closest(
        self, target: int, start: int, d: int, count: int, alpha: int, adversary: Adversary
    ) -> Answer:
        """Look up with the node's own ``Lookup``, one round after the other."""
        near = self.reply(start, target, start, max(self.k, d))
        lookup = Lookup(
            NodeId(target),
            [_contact(i) for i in near],
            count=count,
            alpha=alpha,
            disjoint_paths=d,
        )
        circle = sorted(self.bad, key=lambda i: i ^ target)[: self.k]
        saw = False
        while queries := lookup.queries_to_send():
            for peer in queries:
                saw |= peer.id in self.bad
                if peer.id in self.bad and adversary is Adversary.DROP:
                    lookup.handle_silence(peer.id)
                    continue
                if peer.id in self.bad and adversary is Adversary.COLLUDE:
                    named = [i for i in circle if i ^ target < peer.id ^ target]
                else:
                    named = self.reply(peer.id, target, start, self.k)
                lookup.handle_nodes(peer.id, [_contact(i) for i in named])
        found = [int(contact.id) for contact in lookup.closest()]
        return Answer(found, lookup.hops, lookup.message_count, saw, [])


def _mix(value: int) -> int:
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & WORD
    return value ^ value >> 31


def _contact(identifier: int) -> Contact:
    return Contact(NodeId(identifier), ADDRESS)
