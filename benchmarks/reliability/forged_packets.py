"""Packets of a few authors in one node, and ways to break their sequences; see ``forgeries.py``.

Everything goes the way of a peer: a real session, a sealed request, the node's reply.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId, placement
from qisguard.identity.keys import PACKET_TAG, KeyPair, to_text
from qisguard.identity.network import Network
from qisguard.lab.identities import mine
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.checks import Checks
from qisguard.node.node import Node
from qisguard.outcomes.packet import Body, Outcome, packet_body
from qisguard.plugins import Clock
from qisguard.store.memory import MemoryStore
from qisguard.store.record import sign_record
from qisguard.store.store import StoreLimits

DAY = 20_000
AUTHORS, CASES, KEYS = 6, 3, 4
JUMP = 1_000
HISTORY = 8
ORDER = 2**252 + 27742317777372353535851937790883648493
STEP = 0.001
"""Virtual seconds between two requests; fewer than a peer may send."""
LIFETIME = 40 * 3_600


@dataclass
class Case:
    """What an author has said about one case: ``said`` in order, the last is current."""

    author: KeyPair
    key: bytes
    place: NodeId
    case: bytes
    body: Body
    said: list[bytes] = field(default_factory=list)


class Packets:
    """A node that holds packets, an author's own updates, and forgeries of them."""

    what = "packets"

    def __init__(self, rng: random.Random, checks: Checks = Checks()) -> None:  # noqa: B008 frozen
        self.rng = rng
        authority = KeyPair.from_seed(rng.randbytes(32))
        self.network = Network("forged", authority.public, rng.randbytes(32), 0, 0)
        self.elsewhere = Network("elsewhere", authority.public, rng.randbytes(32), 0, 0).id
        self.now = 0.0
        config = NodeConfig(sequence_jump_max=JUMP)
        self.store = MemoryStore(StoreLimits(config.packets_per_key_max, JUMP))
        clock, draw = Clock(DAY), rng.randbytes
        self.node = Node(
            mine(self.network, draw),
            self.network,
            ("10.0.0.1", 4_000),
            config,
            clock=clock,
            draw=draw,
            store=self.store,
            checks=checks,
        )
        self.peer, self.other = (
            Stranger(
                mine(self.network, draw),
                self.network,
                (f"10.1.0.{n}", 4_000),
                clock=clock,
                draw=draw,
            )
            for n in range(2)
        )
        keys = [rng.randbytes(32) for _ in range(KEYS)]
        self.records = {
            key: sign_record(
                placement(key), self.peer.identity.key, LIFETIME, 1, self.network.id
            ).data
            for key in keys
        }
        authors = [KeyPair.from_seed(rng.randbytes(32)) for _ in range(AUTHORS)]
        self.attacker = KeyPair.from_seed(rng.randbytes(32))
        self.cases = [self._begin(a, rng.choice(keys)) for a in authors for _ in range(CASES)]
        self.kinds: list[tuple[str, Callable[[Case], tuple[bytes, bytes]]]] = [
            ("another author's name", self.wrong_author),
            ("altered without signing", self.altered),
            ("flipped bits", self.flipped),
            ("older sequence", self.older),
            ("sequence jump", self.jump),
            ("same sequence, other body", self.equivocation),
            ("replayed, superseded", self.replayed_old),
            ("replayed, current", self.replayed_current),
            ("another network", self.another_network),
            ("another place", self.another_place),
            ("forged signature", self.signature),
            ("record of another provider", self.another_provider),
            ("altered record", self.altered_record),
        ]
        for case in self.cases:
            case.said.append(self._sign(case.body, case.author))
            refusal = self._say(self.records[case.key], case.said[0])
            if refusal:
                raise AssertionError(f"the first packet of a case is refused: {refusal}")

    def genuine(self) -> str | None:
        """Publish an author's next packet; return why it is refused."""
        case = self.rng.choice(self.cases)
        body = self._next(case, self.rng.choice((1, 1, 1, self.rng.randint(1, JUMP))))
        data = self._sign(body, case.author)
        refusal = self._say(self.records[case.key], data)
        if not refusal and self._current(case) != data:
            refusal = "taken, and not kept"
        if not refusal:
            case.body = body
            case.said = [*case.said[-HISTORY:], data]
        return refusal or None

    def forge(self) -> tuple[str, str | None]:
        """Try one forgery; return its kind and, when it had an effect, the bytes."""
        case = self.rng.choice(self.cases)
        kind, make = self.rng.choice(self.kinds)
        if kind == "replayed, superseded" and len(case.said) < 2:
            kind, make = "older sequence", self.older
        record, data = make(case)
        reply = self._say(record, data)
        is_taken = not reply and kind != "replayed, current"  # that one is kept already
        is_changed = self._current(case) != case.said[-1]
        return kind, data.hex() if is_taken or is_changed else None

    # --- one forgery of each kind: the record and the packet that are sent -----------------------
    def wrong_author(self, case: Case) -> tuple[bytes, bytes]:
        """Return the author's next packet, signed by somebody else."""
        others = [c.author for c in self.cases if c.author.public != case.author.public]
        signer = self.rng.choice((self.attacker, self.rng.choice(others)))
        return self.records[case.key], self._sign(self._next(case), signer)

    def altered(self, case: Case) -> tuple[bytes, bytes]:
        """Return a later sequence, another outcome or another owner, under the old signature."""
        body, data = case.body, case.said[-1]
        changed = self.rng.choice(
            (
                self._next(case, self.rng.randint(1, JUMP)),
                msgspec.structs.replace(body, time=(body.time or 0) + 1),
                msgspec.structs.replace(body, event=1 - (body.event or 0)),
                msgspec.structs.replace(body, arm="B"),
                msgspec.structs.replace(body, exp=body.exp + 1),
                msgspec.structs.replace(body, case=to_text(self.rng.randbytes(16))),
                msgspec.structs.replace(body, author=to_text(self.attacker.public)),
            )
        )
        return self.records[case.key], _encode(changed) + data[-64:]

    def flipped(self, case: Case) -> tuple[bytes, bytes]:
        """Return the author's next packet with one to three bits flipped."""
        data = bytearray(self._sign(self._next(case), case.author))
        for _ in range(self.rng.randint(1, 3)):
            bit = self.rng.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
        if bytes(data) == self._sign(self._next(case), case.author):  # flipped there and back
            data[0] ^= 1
        return self.records[case.key], bytes(data)

    def older(self, case: Case) -> tuple[bytes, bytes]:
        """Return a new statement of the author with a number below the current one."""
        lower = self.rng.randrange(case.body.seq)
        body = msgspec.structs.replace(case.body, seq=lower, time=self._time())
        return self.records[case.key], self._sign(body, case.author)

    def jump(self, case: Case) -> tuple[bytes, bytes]:
        """Return a statement of the author with a number that rises by too much."""
        far = self.rng.choice((JUMP + 1, JUMP + self.rng.randint(1, 10**6), 2**52))
        return self.records[case.key], self._sign(self._next(case, far), case.author)

    def equivocation(self, case: Case) -> tuple[bytes, bytes]:
        """Return another statement of the author with the current number."""
        body = msgspec.structs.replace(case.body, time=(case.body.time or 0) + 1)
        return self.records[case.key], self._sign(body, case.author)

    def replayed_old(self, case: Case) -> tuple[bytes, bytes]:
        """Return something that the author has replaced since."""
        return self.records[case.key], self.rng.choice(case.said[:-1])

    def replayed_current(self, case: Case) -> tuple[bytes, bytes]:
        """Return what is held already: no harm, and no effect."""
        return self.records[case.key], case.said[-1]

    def another_network(self, case: Case) -> tuple[bytes, bytes]:
        """Return the author's next packet for another network."""
        body = msgspec.structs.replace(self._next(case), net=to_text(self.elsewhere))
        return self.records[case.key], self._sign(body, case.author)

    def another_place(self, case: Case) -> tuple[bytes, bytes]:
        """Return the author's next packet under the record of another key."""
        key = self.rng.choice([key for key in self.records if key != case.key])
        return self.records[key], self._sign(self._next(case), case.author)

    def signature(self, case: Case) -> tuple[bytes, bytes]:
        """Return the author's next packet with a second form of its signature, or no signature."""
        data = self._sign(self._next(case), case.author)
        scalar = int.from_bytes(data[-32:], "little")
        made = self.rng.choice(
            (
                data[-64:-32] + (scalar + ORDER).to_bytes(32, "little"),
                bytes(64),
                b"\x01" + bytes(63),
                case.said[-1][-64:],
                self.rng.randbytes(64),
            )
        )
        return self.records[case.key], data[:-64] + made

    def another_provider(self, case: Case) -> tuple[bytes, bytes]:
        """Return a good packet behind a record that somebody else announces."""
        provider = self.other.identity.key
        record = sign_record(case.place, provider, LIFETIME, 1, self.network.id).data
        return record, self._sign(self._next(case), case.author)

    def altered_record(self, case: Case) -> tuple[bytes, bytes]:
        """Return a good packet behind a record with a flipped bit, or one of another network."""
        record = bytearray(self.records[case.key])
        if self.rng.random() < 0.5:
            bit = self.rng.randrange(8 * len(record))
            record[bit // 8] ^= 1 << bit % 8
        else:
            key = self.peer.identity.key
            record[:] = sign_record(case.place, key, LIFETIME, 1, self.elsewhere).data
        return bytes(record), self._sign(self._next(case), case.author)

    # --- parts -----------------------------------------------------------------------------------
    def _begin(self, author: KeyPair, key: bytes) -> Case:
        case = self.rng.randbytes(16)
        body = packet_body(
            network=self.network.id,
            template="forged/1",
            key=key,
            case=case,
            author=author.public,
            seq=self.rng.randint(1, 1_000),
            day=DAY,
            exp=DAY + 100,
            arm="A",
            outcome=Outcome.after(self._time(), self.rng.randrange(2)),
            feat={},
        )
        return Case(author, key, placement(key), case, body)

    def _time(self) -> int:
        return self.rng.randrange(10**6)

    def _next(self, case: Case, rise: int = 1) -> Body:
        return msgspec.structs.replace(case.body, seq=case.body.seq + rise)

    def _sign(self, body: Body, author: KeyPair) -> bytes:
        encoded = _encode(body)
        return encoded + author.sign(PACKET_TAG, encoded)

    def _current(self, case: Case) -> bytes | None:
        return self.store.current(case.place, case.author.public, case.case)

    def _say(self, record: bytes, packet: bytes) -> str:
        """Send one packet in a session; return why it was refused, or an empty string."""
        self.now += STEP
        request = messages.encode(messages.Store(1, record, [packet]))
        heard = [messages.decode(data) for data in self.peer.say(self.node, request, self.now)]
        self.node.events()
        for reply in heard:
            if isinstance(reply, messages.Stored):
                return reply.reasons[0]
            if isinstance(reply, messages.Refused):
                return reply.reason
        raise AssertionError(f"no answer to a store request, but {heard}")


def _encode(body: Body) -> bytes:
    return msgspec.json.encode(body, order="deterministic")
