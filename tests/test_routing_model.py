"""The routing table against a slow, literal model: a list of ranges that really splits."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qisguard.config import NodeConfig
from qisguard.identity.address import network_of
from qisguard.identity.ids import NodeId, shared_prefix
from qisguard.node.contact import Contact
from qisguard.node.routing import RoutingTable
from qisguard.plugins import Rejected

OWN = NodeId(1 << 200)
PERIOD = 10.0


@dataclass
class Known:
    """A contact of the model, and when it was last heard and asked."""

    contact: Contact
    seen: float
    asked: float = -1e9
    failures: int = 0

    @property
    def distance(self) -> int:
        """Return how far it is from us."""
        return self.contact.id ^ OWN


@dataclass
class Range:
    """Ids from ``low`` to below ``high``; each list from the first seen to the last."""

    low: int
    high: int
    members: list[Known] = field(default_factory=list)
    extra: list[Known] = field(default_factory=list)
    waiting: list[Known] = field(default_factory=list)

    def covers(self, identifier: int) -> bool:
        """Return whether an id lies in this range."""
        return self.low <= identifier < self.high

    def parts(self) -> tuple[list[Known], ...]:
        """Return the three lists."""
        return self.members, self.extra, self.waiting


class SplittingTable:
    """Kademlia's section 2.4 word for word: a full range splits while it holds our own id."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.siblings_max = config.siblings * config.sibling_factor
        self.ranges = [Range(0, 1 << 256)]
        self.siblings: list[Known] = []
        self.entered: list[NodeId] = []

    def range_of(self, identifier: int) -> Range:
        """Return the one range that covers an id."""
        (found,) = [r for r in self.ranges if r.covers(identifier)]
        return found

    def held(self) -> list[Known]:
        """Return everybody in the table."""
        return [known for r in self.ranges for known in (*r.members, *r.extra)]

    def find(self, identifier: NodeId) -> Known | None:
        """Return who is held under an id."""
        return next((known for known in self.held() if known.contact.id == identifier), None)

    def refusal(self, contact: Contact) -> Rejected | None:
        """Count by looking at everybody else."""
        prefix = shared_prefix(OWN, contact.id)
        if prefix > self.config.shared_bits_max:
            return Rejected("id too close")
        network = network_of(contact.address[0])
        others = [known.contact for known in self.held() if known.contact.id != contact.id]
        same = [other for other in others if network_of(other.address[0]) == network]
        near = [other for other in same if shared_prefix(OWN, other.id) == prefix]
        if self.config.address_diversity and len(near) >= self.config.subnet_bucket_max:
            return Rejected("network full in bucket")
        if self.config.address_diversity and len(same) >= self.config.subnet_table_max:
            return Rejected("network full in table")
        return None

    def heard_from(self, contact: Contact, now: float) -> Rejected | None:
        """Split until the newcomer has a place, or its range may not split."""
        if contact.id == OWN:
            return Rejected("own id")
        known = self.find(contact.id)
        if (known is None or known.contact != contact) and (refusal := self.refusal(contact)):
            return refusal
        if known:
            known.contact = contact
            self.seen(contact.id, now)
            return None
        newcomer = Known(contact, now)
        around = self.range_of(contact.id)
        while len(around.members) >= self.config.k and around.covers(OWN):
            self.split(around)
            around = self.range_of(contact.id)
        is_near = (
            len(self.siblings) < self.siblings_max or newcomer.distance < self.siblings[-1].distance
        )
        around.waiting[:] = [w for w in around.waiting if w.contact.id != contact.id]
        if len(around.members) < self.config.k:
            around.members.append(newcomer)
        elif is_near:
            around.extra.append(newcomer)
        else:
            self.wait(newcomer, around)
            return Rejected("bucket full")
        self.choose_siblings()
        return None

    def split(self, around: Range) -> None:
        """Replace a range by its halves."""
        assert not around.extra
        assert not around.waiting
        middle = (around.low + around.high) // 2
        halves = [Range(around.low, middle), Range(middle, around.high)]
        for half in halves:
            half.members = [known for known in around.members if half.covers(known.contact.id)]
        at = self.ranges.index(around)
        self.ranges[at : at + 1] = halves

    def wait(self, known: Known, around: Range) -> None:
        """Put somebody last of those who wait."""
        around.waiting[:] = [*around.waiting, known][-self.config.k :]

    def choose_siblings(self) -> None:
        """Sort everybody held; who is neither near nor a member waits again."""
        before = {known.contact.id for known in self.siblings}
        everybody = sorted(self.held(), key=lambda known: known.distance)
        self.siblings = everybody[: self.siblings_max]
        for known in everybody[self.siblings_max :]:
            around = self.range_of(known.contact.id)
            if known in around.extra:
                around.extra.remove(known)
                self.wait(known, around)
        now = [known.contact.id for known in self.siblings]
        self.entered = [i for i in now if i in self.entered or i not in before]

    def seen(self, identifier: NodeId, now: float) -> None:
        """Move somebody to the end of its list."""
        for part in self.range_of(identifier).parts():
            for known in [known for known in part if known.contact.id == identifier]:
                part.remove(known)
                part.append(known)
                known.seen = now
                known.failures = 0

    def failed(self, contact: Contact) -> None:
        """Remove somebody and fill the places that get free."""
        around = self.range_of(contact.id)
        was_held = contact in [known.contact for known in self.held()]
        if (known := self.find(contact.id)) and was_held:
            known.failures += 1
            if known.failures < self.config.failures_max:
                around.waiting[:] = [w for w in around.waiting if w.contact != contact]
                return
        for part in around.parts():
            part[:] = [known for known in part if known.contact != contact]
        if not was_held:
            return
        while len(around.members) < self.config.k and (around.extra or around.waiting):
            if around.extra:
                chosen = max(around.extra, key=lambda known: known.seen)
                around.extra.remove(chosen)
            else:
                chosen = around.waiting.pop()
                if self.refusal(chosen.contact):
                    continue
            around.members.append(chosen)
            around.members.sort(key=lambda known: known.seen)
        self.siblings = [known for known in self.siblings if known.contact.id != contact.id]
        self.complete_siblings()
        self.choose_siblings()

    def complete_siblings(self) -> None:
        """Go through all that proved themselves, nearest first, until the list is full."""
        waiting = [known for r in self.ranges for known in r.waiting]
        listed = 0
        for known in sorted([*self.held(), *waiting], key=lambda known: known.distance):
            if listed == self.siblings_max:
                return
            if known in waiting:
                around = self.range_of(known.contact.id)
                around.waiting.remove(known)
                if self.refusal(known.contact):
                    continue
                around.extra.append(known)
            listed += 1

    def questions(self, now: float) -> list[Contact]:
        """Ask the oldest of each range somebody waits for."""
        asked = []
        for around in self.ranges:
            if around.waiting and len(around.members) == self.config.k:
                oldest = around.members[0]
                if now - oldest.seen > PERIOD and now - oldest.asked >= PERIOD:
                    oldest.asked = now
                    asked.append(oldest.contact)
        return asked


# Few ranges, ids and networks, so that everything fills and the same contact comes back.
identifiers = st.one_of(
    st.builds(
        lambda prefix, low: NodeId(OWN ^ (1 << (255 - prefix)) ^ low),
        st.sampled_from([0, 0, 1, 2, 3, 6, 9]),
        st.integers(0, 7),
    ),
    st.just(OWN),
)
addresses = st.builds(
    lambda network, port: (f"10.0.{network}.1", port), st.integers(0, 5), st.integers(1, 2)
)
contacts = st.builds(Contact, identifiers, addresses)


class RoutingMachine(RuleBasedStateMachine):
    """Everything that happens to a table happens to the model too."""

    @initialize(
        k=st.integers(1, 3),
        siblings=st.integers(1, 6),
        bucket_max=st.integers(1, 2),
        table_max=st.integers(2, 4),
        address_diversity=st.booleans(),
        failures_max=st.integers(1, 2),
    )
    def begin(
        self,
        k: int,
        siblings: int,
        bucket_max: int,
        table_max: int,
        address_diversity: bool,
        failures_max: int,
    ) -> None:
        """Draw the limits."""
        config = NodeConfig(
            k=k,
            siblings=siblings,
            sibling_factor=1,
            shared_bits_max=8,
            address_diversity=address_diversity,
            subnet_bucket_max=bucket_max,
            subnet_table_max=table_max,
            questionable_after=PERIOD,
            failures_max=failures_max,
        )
        self.now = 100.0
        self.table = RoutingTable(OWN, config)
        self.model = SplittingTable(config)

    @rule(contact=contacts)
    def hear_from(self, contact: Contact) -> None:
        """Hear from somebody, new or known, here or there."""
        expected = self.model.heard_from(contact, self.now)
        assert self.table.heard_from(contact, self.now) == expected

    @rule(newcomers=st.lists(contacts, min_size=4, max_size=12))
    def hear_from_many(self, newcomers: list[Contact]) -> None:
        """Hear from a crowd, so that ranges fill within few steps."""
        for contact in newcomers:
            self.hear_from(contact)

    @rule(identifier=identifiers)
    def see(self, identifier: NodeId) -> None:
        """Get a message from somebody."""
        self.table.seen(identifier, self.now)
        self.model.seen(identifier, self.now)

    @rule(contact=contacts)
    def fail_anywhere(self, contact: Contact) -> None:
        """Somebody is silent, perhaps at an address that nobody knows."""
        self.table.failed(contact)
        self.model.failed(contact)

    @rule(choice=st.integers(0, 100))
    def fail_known(self, choice: int) -> None:
        """Somebody is silent who is held, or waits."""
        known = [k.contact for r in self.model.ranges for part in r.parts() for k in part]
        if known:
            self.fail_anywhere(known[choice % len(known)])

    @rule(seconds=st.sampled_from([1.0, 4.0, 10.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(choice=st.integers(0, 2))
    def ask(self, choice: int) -> None:
        """Ask who is questionable; the answers are silence, a pong, or nothing yet."""
        expected = self.model.questions(self.now)
        assert sorted(self.table.questions(self.now), key=lambda c: c.id) == sorted(
            expected, key=lambda c: c.id
        )
        for contact in expected:
            if choice == 0:
                self.fail_anywhere(contact)
            elif choice == 1:
                self.see(contact.id)

    @rule()
    def take_new_siblings(self) -> None:
        """Hand over to those who came."""
        expected, self.model.entered = self.model.entered, []
        assert [contact.id for contact in self.table.take_new_siblings()] == expected

    @rule(place=identifiers, count=st.integers(0, 12))
    def compare_distances(self, place: NodeId, count: int) -> None:
        """Sort everybody, count everybody."""
        everybody = [known.contact for known in self.model.held()]
        expected = sorted(everybody, key=lambda c: c.id ^ place)
        assert self.table.closest(place, count) == expected[:count]
        assert self.table.rank(place) == sum((c.id ^ place) < (OWN ^ place) for c in everybody)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """Compare members, extra siblings and who waits, each in order, range by range."""
        held = {known.contact.id: known.contact for known in self.model.held()}
        assert {contact.id: contact for contact in self.table} == held
        assert len(self.table) == len(held)
        assert all(i in self.table and self.table.get(i) == c for i, c in held.items())
        assert self.table.siblings == tuple(known.contact for known in self.model.siblings)
        for prefix, bucket in self.table._buckets.items():
            ours = [
                [proved.contact for proved in part.values()]
                for part in (bucket.members, bucket.extra, bucket.waiting)
            ]
            theirs: list[list[Contact]] = [[], [], []]
            for around in self.model.ranges:
                for part, known in zip(theirs, around.parts(), strict=True):
                    part += [k.contact for k in known if shared_prefix(OWN, k.contact.id) == prefix]
            assert ours == theirs

    @invariant()
    def counts_what_it_holds(self) -> None:
        """The counters are those of a scan, so no network is counted twice or for ever."""
        assert self.table._networks == Counter(network_of(c.address[0]) for c in self.table)
        for bucket in self.table._buckets.values():
            assert bucket.networks == Counter(network_of(c.address[0]) for c in bucket)


RoutingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRoutingTableIsTheSplittingTree = RoutingMachine.TestCase


@pytest.mark.rule("N-02")
@pytest.mark.parametrize("seed", range(16))
def test_a_long_life_goes_like_that_of_the_splitting_tree(seed: int) -> None:
    """The same machine, deeper than a search for short counterexamples gets."""
    rng = random.Random(f"life {seed}")
    machine = RoutingMachine()
    machine.begin(
        k=rng.randint(1, 3),
        siblings=rng.randint(1, 6),
        bucket_max=rng.randint(1, 2),
        table_max=rng.randint(2, 4),
        address_diversity=seed % 4 > 0,
        failures_max=1 + seed % 2,
    )

    def identifier() -> NodeId:
        prefix = rng.choice([0, 0, 1, 2, 3, 6, 9])
        return NodeId(OWN ^ (1 << (255 - prefix)) ^ rng.randrange(8))

    def contact() -> Contact:
        return Contact(identifier(), (f"10.0.{rng.randrange(6)}.1", rng.randint(1, 2)))

    steps: list[Callable[[], None]] = [
        *[lambda: machine.hear_from(contact())] * 8,
        *[lambda: machine.see(identifier())] * 2,
        *[lambda: machine.fail_known(rng.randrange(100))] * 2,
        lambda: machine.fail_anywhere(contact()),
        lambda: machine.pass_time(rng.choice([1.0, 4.0, 10.0, 11.0])),
        lambda: machine.ask(rng.randrange(3)),
        machine.take_new_siblings,
        lambda: machine.compare_distances(identifier(), rng.randrange(12)),
    ]
    for _ in range(400):
        rng.choice(steps)()
        machine.holds_what_the_model_holds()
        machine.counts_what_it_holds()
