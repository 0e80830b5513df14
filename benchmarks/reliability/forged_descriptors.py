"""Valid descriptors of a few identities, and eleven ways to forge one; see ``forgeries.py``."""

import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from qisguard.errors import QisguardError
from qisguard.identity.descriptor import Descriptor, Identity, open_descriptor
from qisguard.identity.keys import DESCRIPTOR_TAG, PACKET_TAG, KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import solve_static
from qisguard.lab.identities import mine

DAY = 20_000
IDENTITIES = 12
ATTACKERS = 64
C1, C2 = 4, 10
ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
WEAK = [
    (y | sign << 255).to_bytes(32, "little") for y in (0, 1, P - 1, P, P + 1) for sign in (0, 1)
]
"""Encodings of order 1, 2 and 4, and such as are not canonical."""
V, NET, KEY, SOLUTION, HOST, PORT, TLS, LOG, WITNESS, SEQ, EXPIRES = range(11)
KEYS = (KEY, TLS, LOG, WITNESS)

Opens = Callable[[bytes, Network], Descriptor]


class Descriptors:
    """Forgeries are tried in a network without puzzles, where nothing but the rest protects it.

    Stolen solutions are tried in one with puzzles, by keys that solved the static one.
    """

    what = "descriptors"

    def __init__(self, rng: random.Random, opens: Opens = open_descriptor) -> None:
        self.rng = rng
        self.opens = opens
        authority = KeyPair.from_seed(rng.randbytes(32)).public
        self.network = Network("free", authority, rng.randbytes(32), 0, 0)
        self.priced = Network("priced", authority, rng.randbytes(32), C1, C2)
        self.identities = [mine(self.network, rng.randbytes) for _ in range(IDENTITIES)]
        self.payers = [mine(self.priced, rng.randbytes) for _ in range(IDENTITIES)]
        self.attackers = [solve_static(C1, rng.randbytes) for _ in range(ATTACKERS)]
        self.good = [self._describe(identity, self.network) for identity in self.identities]
        self.paid = [self._describe(identity, self.priced) for identity in self.payers]
        self.known = {*self.good, *self.paid}
        self.kinds: list[tuple[str, Callable[[], bytes]]] = [
            ("flipped bits", self.flipped),
            ("cut or extended", self.cut),
            ("spliced fields", self.spliced),
            ("wrong signer", self.wrong_signer),
            ("changed and signed by another", self.resigned),
            ("forged signature", self.signature),
            ("another network", self.another_network),
            ("weak key", self.weak_key),
            ("solution of another", self.stolen_solution),
            ("another encoding", self.encoding),
            ("value out of range", self.out_of_range),
        ]

    def genuine(self) -> str | None:
        """Open a valid descriptor; return why it is refused."""
        if self.rng.random() < 0.5:
            return self._refusal(self.rng.choice(self.good), self.network)
        return self._refusal(self.rng.choice(self.paid), self.priced)

    def forge(self) -> tuple[str, str | None]:
        """Try one forgery; return its kind and, when it was accepted, the bytes."""
        kind, make = self.rng.choice(self.kinds)
        while (data := make()) in self.known and kind != "another network":
            pass
        network = self.priced if kind == "solution of another" else self.network
        return kind, data.hex() if self._refusal(data, network) is None else None

    def _refusal(self, data: bytes, network: Network) -> str | None:
        """Return why a descriptor is refused; any other error than ours goes through."""
        try:
            self.opens(data, network)
        except QisguardError as error:
            return str(error)
        return None

    # --- one forgery of each kind ----------------------------------------------------------------
    def flipped(self) -> bytes:
        """Return a descriptor with one to three bits flipped."""
        data = bytearray(self.rng.choice(self.good))
        for _ in range(self.rng.randint(1, 3)):
            bit = self.rng.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    def cut(self) -> bytes:
        """Return a descriptor that lacks bytes, or has some more, anywhere."""
        data, at = self.rng.choice(self.good), self.rng.randrange(300)
        if self.rng.random() < 0.5:
            return data[:at] + data[at + self.rng.randint(1, 40) :]
        return data[:at] + self.rng.randbytes(self.rng.randint(1, 40)) + data[at:]

    def spliced(self) -> bytes:
        """Return fields of two descriptors under the signature of either."""
        one, two = self.rng.sample(self.good, 2)
        pairs = zip(_fields(one), _fields(two), strict=True)
        body = _encode([pair[self.rng.randrange(2)] for pair in pairs])
        return body + self.rng.choice((one, two))[-64:]

    def wrong_signer(self) -> bytes:
        """Return a descriptor signed by another's key, by a key it names, or for a purpose."""
        at = self.rng.randrange(IDENTITIES)
        body, identity = self.good[at][:-64], self.identities[at]
        others = [identity.tls, identity.log, identity.witness]
        others.append(self.identities[at - 1].key)
        if self.rng.random() < 0.2:
            return body + identity.key.sign(PACKET_TAG, body)
        return _sign(body, self.rng.choice(others))

    def resigned(self) -> bytes:
        """Return a victim's descriptor with the attacker's values, signed by the attacker."""
        fields = _fields(self.rng.choice(self.good))
        attacker = self.rng.choice(self.attackers)
        changes: dict[int, object] = {
            HOST: f"10.{self.rng.randrange(256)}.0.1",
            PORT: self.rng.randint(1, 65_535),
            TLS: attacker.public,
            LOG: attacker.public,
            WITNESS: attacker.public,
            SEQ: fields[SEQ] + self.rng.randint(1, 1_000),
            EXPIRES: fields[EXPIRES] + self.rng.randint(1, 300),
        }
        field_ = self.rng.choice(list(changes))
        fields[field_] = changes[field_]
        return _sign(_encode(fields), attacker)

    def signature(self) -> bytes:
        """Return a body under a signature that satisfies a careless verifier, or none."""
        data = self.rng.choice(self.good)
        r, s = data[-64:-32], int.from_bytes(data[-32:], "little")
        weak = self.rng.choice(WEAK)
        made = self.rng.choice(
            (
                r + (s + ORDER).to_bytes(32, "little"),
                weak + bytes(32),
                weak + data[-32:],
                self.rng.randbytes(64),
                self.rng.choice(self.good)[-64:],
            )
        )
        return data[:-64] + made

    def another_network(self) -> bytes:
        """Return a valid descriptor of another network, as it is or renamed."""
        data = self.rng.choice(self.paid)
        if self.rng.random() < 0.5:
            return data
        fields = _fields(data)
        fields[NET] = self.network.id
        return _encode(fields) + data[-64:]

    def weak_key(self) -> bytes:
        """Return a descriptor with a key of small order; one that forges itself, if it may."""
        at, field_ = self.rng.randrange(IDENTITIES), self.rng.choice(KEYS)
        fields = _fields(self.good[at])
        fields[field_] = self.rng.choice(WEAK)
        body = _encode(fields)
        if field_ != KEY:
            return _sign(body, self.identities[at].key)
        return body + self.rng.choice(WEAK) + bytes(32)

    def stolen_solution(self) -> bytes:
        """Return an id that paid for the static puzzle alone, with another's solution."""
        while True:
            key = self.rng.choice(self.attackers)
            fields = _fields(self.rng.choice(self.paid))
            fields[KEY] = key.public
            if self.rng.random() < 0.5:
                fields[SOLUTION] = self.rng.randbytes(16)
            if not self._is_solved(key.public, fields[SOLUTION]):
                return _sign(_encode(fields), key)

    def encoding(self) -> bytes:
        """Return another encoding of a valid body, well signed."""
        at = self.rng.randrange(IDENTITIES)
        body = self.good[at][:-64]
        fields = _fields(self.good[at])
        made = self.rng.choice(
            (
                body[:1] + b"\xcc\x01" + body[2:],
                b"\xdc\x00\x0b" + body[1:],
                b"\xdd\x00\x00\x00\x0b" + body[1:],
                body[:2] + b"\xc5\x00\x20" + body[4:],
                body[:2] + b"\xc6\x00\x00\x00\x20" + body[4:],
                body[:2] + b"\xd9\x20" + body[4:],
                body + self.rng.randbytes(self.rng.randint(1, 8)),
                _encode([*fields, 0]),
                _encode(fields[:-1]),
                _encode([float(fields[V]), *fields[1:]]),
                _encode({str(n): value for n, value in enumerate(fields)}),
            )
        )
        return _sign(made, self.identities[at].key)

    def out_of_range(self) -> bytes:
        """Return a value that nobody may claim, well signed."""
        at = self.rng.randrange(IDENTITIES)
        fields = _fields(self.good[at])
        field_, values = self.rng.choice(
            (
                (V, (0, 2, 2**63)),
                (NET, (b"", self.network.id[:31], self.rng.randbytes(32))),
                (SOLUTION, (b"", bytes(15), bytes(17))),
                (HOST, ("", "localhost", "127.1", "010.0.0.1", "::ffff:10.0.0.1", "fe80::1%lo")),
                (HOST, ("0.0.0.0", "::", "224.0.0.1", "ff02::1", "10.0.0.1\n")),
                (PORT, (0, -1, 65_536, 2**40)),
                (SEQ, (-1, 2**53, 2**64 - 1)),
                (EXPIRES, (-1, 2**53, 2**64 - 1)),
                (TLS, (fields[KEY], fields[LOG], b"", bytes(31), self.rng.randbytes(33))),
            )
        )
        fields[field_] = self.rng.choice(values)
        return _sign(_encode(fields), self.identities[at].key)

    # --- parts -----------------------------------------------------------------------------------
    def _describe(self, identity: Identity, network: Network) -> bytes:
        rng = self.rng
        host = f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randint(1, 254)}"
        address = (host, rng.randint(1, 65_535))
        return identity.describe(
            network, address, rng.randrange(1_000), DAY + rng.randrange(100)
        ).signed

    def _is_solved(self, public: bytes, solution: bytes) -> bool:
        """Return whether luck solved the dynamic puzzle after all; computed without our code."""
        identifier = sha256(b"qisguard-id-v1" + public).digest()
        bound = self.priced.id + self.priced.epoch + identifier + solution
        digest = sha256(b"qisguard-dyn-v1" + bound).digest()
        return 256 - int.from_bytes(digest, "big").bit_length() >= C2


def _fields(data: bytes) -> list[Any]:
    fields: list[Any] = msgspec.msgpack.decode(data[:-64])
    return fields


def _encode(fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def _sign(body: bytes, key: KeyPair) -> bytes:
    return body + key.sign(DESCRIPTOR_TAG, body)
