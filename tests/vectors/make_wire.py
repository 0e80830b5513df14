"""Make ``wire.json``: a whole handshake, sealed datagrams, messages and records, byte for byte.

    uv run python tests/vectors/make_wire.py

Everything follows from fixed seeds, so the file is the same wherever it is made. Bytes are in hex.
``reject`` cases say what is refused and by which count or error. The rules are those of
``docs/spec/wire.md``.
"""

import json
import math
import random
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from nacl.bindings import crypto_kx_client_session_keys, crypto_kx_seed_keypair

from qisguard.config import NodeConfig
from qisguard.errors import QisguardError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Identity, open_descriptor
from qisguard.identity.ids import placement, to_bytes
from qisguard.identity.keys import KeyPair, verify
from qisguard.identity.network import Network
from qisguard.node import messages
from qisguard.node.messages import Message
from qisguard.session import wire
from qisguard.session.channel import COUNTER_MAX, REPLAY_WINDOW
from qisguard.session.sessions import Plain, Sessions
from qisguard.session.transcript import accept_hash, auth_hash
from qisguard.store.record import index_place, sign_index, sign_record

FILE = Path(__file__).with_name("wire.json")
DAY = 20_000
NOW = 1_728_000_000.25
"""Seconds; the cookie carries it in whole milliseconds."""

Case = dict[str, Any]


def _bytes(name: str, size: int = 32) -> bytes:
    return random.Random(f"wire vectors {name}").randbytes(size)


NETWORK = Network("vectors", KeyPair.from_seed(_bytes("authority")).public, _bytes("epoch"), 0, 0)


class Side:
    """One end of the handshake, and every byte of randomness that it drew."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self.identity_seed = _bytes(f"{name} identity")
        keys = [KeyPair.from_seed(_bytes(f"{name} {role}")) for role in ("tls", "log", "witness")]
        self.identity = Identity(KeyPair.from_seed(self.identity_seed), bytes(16), *keys)
        self.descriptor = self.identity.describe(NETWORK, address, 3, DAY + 30).signed
        self.drawn: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.heard: list[bytes] = []
        self.sessions = self.fresh()

    def fresh(self) -> Sessions:
        """Return sessions that draw the same bytes every time."""
        rng = random.Random(f"wire vectors {self.name} draws")

        def draw(size: int) -> bytes:
            self.drawn.append(rng.randbytes(size))
            return self.drawn[-1]

        self.drawn.clear()
        self.counts.clear()
        sessions = Sessions(
            self.identity,
            NodeConfig(),
            draw,
            verify,
            lambda data: open_descriptor(data, NETWORK),
            self.counts,
        )
        sessions.descriptor = self.descriptor
        return sessions

    def take(self, data: bytes, source: Address, now: float = NOW) -> list[bytes]:
        """Receive one datagram; return what is answered."""
        event = self.sessions.receive(data, source, now)
        if isinstance(event, Plain):
            self.heard.append(event.data)
        answers = [answer for answer, _ in self.sessions.outbox]
        self.sessions.outbox.clear()
        return answers

    def facts(self) -> Case:
        """Return what a reader needs to play this side."""
        return {
            "identity_seed": self.identity_seed.hex(),
            "identity_key": self.identity.key.public.hex(),
            "id": to_bytes(self.identity.id).hex(),
            "address": list(self.address),
            "descriptor": self.descriptor.hex(),
        }


def _handshake(client: Side, server: Side) -> tuple[Case, dict[str, bytes]]:
    """Run one handshake; return its vectors and its datagrams."""
    client.sessions.connect(server.identity.id, server.address, NOW)
    hello = client.sessions.outbox.pop()[0]
    (cookie,) = server.take(hello, client.address)
    (auth,) = client.take(cookie, server.address)
    (accept,) = server.take(auth, client.address)
    client.take(accept, server.address)
    seed, nonce = client.drawn[1:3]
    server_seed, server_session = server.drawn[1:3]
    public, secret = crypto_kx_seed_keypair(seed)
    server_public, server_secret = crypto_kx_seed_keypair(server_seed)
    transcript = auth_hash(to_bytes(server.identity.id), auth[:-64])
    final = accept_hash(transcript, auth[-64:], accept[:-64])
    receive, send = crypto_kx_client_session_keys(public, secret, server_public)
    case = {
        "now": NOW,
        "client_ephemeral_seed": seed.hex(),
        "client_ephemeral_secret": secret.hex(),
        "client_ephemeral": public.hex(),
        "nonce": nonce.hex(),
        "client_session": nonce[:8].hex(),
        "cookie_key": server.drawn[0].hex(),
        "server_ephemeral_seed": server_seed.hex(),
        "server_ephemeral_secret": server_secret.hex(),
        "server_ephemeral": server_public.hex(),
        "server_session": server_session.hex(),
        "hello": hello.hex(),
        "cookie": cookie.hex(),
        "auth": auth.hex(),
        "accept": accept.hex(),
        "auth_hash": transcript.hex(),
        "accept_hash": final.hex(),
        "kx_to_client": receive.hex(),
        "kx_to_server": send.hex(),
        "key_to_client": _bound(receive, final).hex(),
        "key_to_server": _bound(send, final).hex(),
    }
    return case, {"hello": hello, "cookie": cookie, "auth": auth, "accept": accept}


def _bound(key: bytes, final: bytes) -> bytes:
    return blake2b(final, key=key, digest_size=32).digest()


def _sealed(client: Side, server: Side) -> list[Case]:
    """Return datagrams of both directions; each is taken by the other side as it is made."""
    made = []
    words = [messages.encode(messages.Ping(1)), b"", messages.encode(messages.Pong(2))]
    for sender, receiver in ((client, server), (server, client)):
        session = sender.sessions.get(receiver.identity.id)
        if session is None:
            raise ValueError("the handshake opened no session")
        for counter, text in [(0, words[0]), (1, words[1]), (70_000, words[2])]:
            session.counter = counter
            data = sender.sessions.seal(session, text)
            receiver.take(data, sender.address)
            to = "server" if receiver is server else "client"
            made.append(
                {"to": to, "counter": counter, "plaintext": text.hex(), "datagram": data.hex()}
            )
    return made


def _messages() -> list[Case]:
    """Return one message of each kind."""
    key, digest = _bytes("place"), _bytes("digest")
    contact = (_bytes("contact"), bytes([192, 0, 2, 9]), 4_000)
    six = (_bytes("contact six"), bytes.fromhex("20010db8") + bytes(11) + b"\x01", 65_535)
    head = (key, 9, digest, _bytes("log signature", 64))
    every: list[Message] = [
        messages.Ping(7),
        messages.FindNode(8, key),
        messages.Store(9, _bytes("record", 141), [_bytes("packet", 300)]),
        messages.ListPackets(10, key, b""),
        messages.FetchPackets(11, key, [digest, key]),
        messages.FindProviders(12, key, _bytes("provider")),
        messages.FindValue(13, key, digest),
        messages.Announce(14, _bytes("record", 141)),
        messages.ListKeys(15, 255, key),
        messages.AddCheckpoint(16, 5, digest + key, 9, key, _bytes("log signature", 64)),
        messages.ListHeads(17, key),
        messages.ProveGrowth(18, 5, 2**63 - 1),
        messages.Accuse(
            19,
            9,
            key,
            _bytes("log signature", 64),
            digest,
            _bytes("other signature", 64),
            _bytes("descriptor", 300),
        ),
        messages.ListSums(20, key, 19_270, 28, 19_998, "hospital-07", "A"),
        messages.Pong(7),
        messages.Nodes(8, [contact, six]),
        messages.Stored(9, ["", "expired"]),
        messages.Listing(10, [(digest, DAY), (key, 2**32 - 1)], True),
        messages.Packets(11, [_bytes("packet", 300)]),
        messages.Refused(2**32 - 1, messages.BUSY),
        messages.Providers(12, [_bytes("record", 141)], False),
        messages.Keys(15, [key], False),
        messages.Cosigned(16, 200, 9, _bytes("cosignature", 72)),
        messages.Heads(17, [head], [head], True),
        messages.Growth(18, digest + key),
        messages.Sums(20, [(19_998, "none", "A", 3, 2, 1.0, 1.0, 880, 0)], True),
    ]
    return [
        {"name": type(m).__name__, "fields": _plain(m), "bytes": messages.encode(m).hex()}
        for m in every
    ]


def _plain(message: Message) -> object:
    """Return the array of a message, with bytes as ``hex:``."""

    def show(value: object) -> object:
        if isinstance(value, bytes):
            return "hex:" + value.hex()
        return [show(item) for item in value] if isinstance(value, list) else value

    return show(msgspec.msgpack.decode(messages.encode(message)))


def _records(provider: Side) -> list[Case]:
    """Return one record of each kind, signed for the network."""
    key = b"\x07" + _bytes("similarity", 31)
    pair, expires = provider.identity.key, int(NOW) + 172_800
    record = sign_record(placement(key), pair, expires, 5, NETWORK.id)
    index = sign_index(key, pair, expires, 6, NETWORK.id)
    shared = {"provider": pair.public.hex(), "expires": expires}
    return [
        {
            "kind": "provider",
            **shared,
            "where": to_bytes(record.place).hex(),
            "seq": 5,
            "bytes": record.data.hex(),
        },
        {
            "kind": "index",
            **shared,
            "where": key.hex(),
            "seq": 6,
            "bytes": index.data.hex(),
            "lies_at": to_bytes(index_place(7)).hex(),
        },
    ]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _rejected_datagrams(flow: dict[str, bytes], sealed: list[Case]) -> list[Case]:
    """Return datagrams that no decoder may take."""
    hello, cookie, auth, accept = (flow[name] for name in ("hello", "cookie", "auth", "accept"))
    first = bytes.fromhex(sealed[0]["datagram"])
    cases = {
        "empty": b"",
        "1,201 bytes": hello + b"\0",
        "kind 0": b"\0" + hello[1:],
        "kind 6": b"\x06" + hello[1:],
        "version 2": hello[:1] + b"\x02" + hello[2:],
        "hello of 1,199 bytes": hello[:-1],
        "hello with padding that is not zero": _flip(hello, len(hello) - 1),
        "cookie one byte short": cookie[:-1],
        "cookie one byte long": cookie + b"\0",
        "auth one byte short": auth[:-1],
        "auth with a descriptor length that does not fit": _flip(auth, 99),
        "accept one byte long": accept + b"\0",
        "accept with a descriptor length that does not fit": _flip(accept, 51),
        "sealed without room for a tag": first[:32],
    }
    return [
        {"name": name, "datagram": data.hex(), "error": _error(wire.decode, data)}
        for name, data in cases.items()
    ]


def _error(decode: Any, data: bytes) -> str:
    try:
        decode(data)
    except QisguardError as error:
        return type(error).__name__
    raise ValueError(f"{data[:8].hex()} was accepted")


def _rejected_messages() -> list[Case]:
    """Return plaintexts that are no messages."""
    pack = msgspec.msgpack.encode
    contact: list[object] = [bytes(32), b"host", 1]
    cases: dict[str, bytes] = {
        "nothing": b"",
        "a map": pack({"0": 1}),
        "an unknown tag": pack([28, 1]),
        "a number of 33 bits": pack([0, 2**32]),
        "a number below zero": pack([0, -1]),
        "a field too many": pack([0, 1, 1]),
        "a field too few": pack([1, 1]),
        "bytes after the message": pack([0, 1]) + b"\0",
        "a place of 31 bytes": pack([1, 1, bytes(31)]),
        "a place as text": pack([1, 1, "x" * 32]),
        "five packets": pack([2, 1, b"", [b""] * 5]),
        "a packet of 513 bytes": pack([2, 1, b"", [bytes(513)]]),
        "a record of 161 bytes": pack([7, 1, bytes(161)]),
        "29 digests": pack([4, 1, bytes(32), [bytes(32)] * 29]),
        "a domain prefix of 256": pack([8, 1, 256, b""]),
        "21 contacts": pack([17, 1, [contact] * 21]),
        "a port of 0": pack([17, 1, [[bytes(32), b"host", 0]]]),
        "a host of 3 bytes": pack([17, 1, [[bytes(32), b"hos", 1]]]),
        "a size of 2^63": pack([11, 1, 0, 2**63]),
        "33 hashes": pack([26, 1, bytes(32 * 33)]),
        "a signature of 63 bytes": pack([9, 1, 0, b"", 0, bytes(32), bytes(63)]),
        "eight heads": pack([25, 1, [], [[bytes(32), 0, bytes(32), bytes(64)]] * 8, True]),
        "two own heads": pack([25, 1, [[bytes(32), 0, bytes(32), bytes(64)]] * 2, [], True]),
        "a cosignature of 73 bytes": pack([24, 1, 200, 0, bytes(73)]),
        "a reason of 65 characters": pack([21, 1, "r" * 65]),
        "a reason with a line feed": pack([21, 1, "two\nlines"]),
        "a reason that is not ASCII": pack([21, 1, "\u00e9"]),
        "29 entries": pack([19, 1, [[bytes(32), 1]] * 29, False]),
        "8 provider records": pack([22, 1, [b""] * 8, False]),
        "no row's worth of days": pack([13, 1, bytes(32), 0, 0, 0, "", ""]),
        "rows of 32 days": pack([13, 1, bytes(32), 0, 32, 0, "", ""]),
        "a sum that is no number": pack([27, 1, [[1, "a", "b", 1, 1, math.nan, 0.0, 0, 0]], True]),
        "a sum without end": pack([27, 1, [[1, "a", "b", 1, 1, 1.0, math.inf, 0, 0]], True]),
        "a count below zero": pack([27, 1, [[1, "a", "b", -1, 1, 1.0, 1.0, 0, 0]], True]),
        "an issuer without a name": pack([27, 1, [[1, "", "b", 1, 1, 1.0, 1.0, 0, 0]], True]),
        "65 rows": pack([27, 1, [[1, "a", "b", 1, 1, 1.0, 1.0, 0, 0]] * 65, True]),
        "33 keys": pack([23, 1, [bytes(32)] * 33, False]),
    }
    return [
        {"name": name, "plaintext": data.hex(), "error": _error(messages.decode, data)}
        for name, data in cases.items()
    ]


def _rejected_in_a_handshake(client: Side, server: Side, flow: dict[str, bytes]) -> list[Case]:
    """Return well-formed datagrams that open nothing at the side that they are for."""
    auth, accept = flow["auth"], flow["accept"]
    elsewhere = ("198.51.100.1", 4_000)
    aimed = [
        ("hello for another node", _flip(flow["hello"], 81), client.address, NOW),
        ("cookie from another address", auth, elsewhere, NOW),
        ("cookie from another port", auth, (client.address[0], 1), NOW),
        ("cookie that is 10.001 s old", auth, client.address, NOW + 10.001),
        ("cookie that is 1.001 s ahead", auth, client.address, NOW - 1.001),
        ("cookie with one bit changed", _flip(auth, 60), client.address, NOW),
        ("auth with another nonce", _flip(auth, 2), client.address, NOW),
        ("auth with another session name", _flip(auth, 90), client.address, NOW),
        ("auth with one bit of the descriptor changed", _flip(auth, 120), client.address, NOW),
        (
            "auth with one bit of the signature changed",
            _flip(auth, len(auth) - 1),
            client.address,
            NOW,
        ),
    ]
    cases = []
    for name, data, source, now in aimed:
        server.sessions = server.fresh()
        server.take(data, source, now)
        cases.append(_refusal(name, "server", data, source, now, server))
    for name, data in [
        ("accept for another session", _flip(accept, 2)),
        ("accept with another session name of the server", _flip(accept, 10)),
        ("accept with another ephemeral", _flip(accept, 18)),
        ("accept with one bit of the signature changed", _flip(accept, len(accept) - 1)),
    ]:
        client.sessions = client.fresh()
        client.sessions.connect(server.identity.id, server.address, NOW)
        client.take(flow["cookie"], server.address)
        client.take(data, server.address)
        cases.append(_refusal(name, "client", data, server.address, NOW, client))
    return cases


def _refusal(name: str, at: str, data: bytes, source: Address, now: float, side: Side) -> Case:
    if len(side.sessions):
        raise ValueError(f"{name}: a session was opened")
    (reason,) = side.counts
    return {
        "name": name,
        "at": at,
        "datagram": data.hex(),
        "source": list(source),
        "now": now,
        "reason": reason,
    }


def _rejected_in_a_session(client: Side, server: Side, flow: dict[str, bytes]) -> list[Case]:
    """Return sealed datagrams that say nothing; ``after`` is what the server took before."""
    client.sessions, server.sessions = client.fresh(), server.fresh()
    client.sessions.connect(server.identity.id, server.address, NOW)
    client.sessions.outbox.clear()
    server.take(flow["auth"], client.address)
    client.take(flow["cookie"], server.address)
    client.take(flow["accept"], server.address)
    session = client.sessions.get(server.identity.id)
    if session is None:
        raise ValueError("the recorded handshake opened no session")

    def said(counter: int) -> bytes:
        session.counter = counter
        return client.sessions.seal(session, b"words")

    first, high = said(0), said(REPLAY_WINDOW)
    for data in (first, high):
        server.take(data, client.address)
    header = wire.seal_header(session.receive_id, 5)
    aimed = [
        ("a counter that was taken", high, client.address),
        ("a counter just behind the window", said(0), client.address),
        ("a counter at the limit", said(COUNTER_MAX), client.address),
        ("one bit of the header's counter changed", _flip(said(9), 16), client.address),
        ("one bit of the ciphertext changed", _flip(said(10), 20), client.address),
        ("from another address", said(11), ("198.51.100.1", 4_000)),
        ("the name of another session", header + said(12)[17:], client.address),
    ]
    cases = []
    for name, data, source in aimed:
        server.counts.clear()
        heard = len(server.heard)
        server.take(data, source)
        if len(server.heard) != heard:
            raise ValueError(f"{name}: was taken")
        (reason,) = server.counts
        cases.append(
            {
                "name": name,
                "after": [first.hex(), high.hex()],
                "datagram": data.hex(),
                "source": list(source),
                "reason": reason,
            }
        )
    return cases


def make() -> str:
    """Return the text of the file."""
    client, server = Side("client", ("192.0.2.1", 4_001)), Side("server", ("2001:db8::2", 4_002))
    handshake, flow = _handshake(client, server)
    sealed = _sealed(client, server)
    vectors = {
        "about": "made by tests/vectors/make_wire.py; rules in docs/spec/wire.md",
        "network_id": NETWORK.id.hex(),
        "client": client.facts(),
        "server": server.facts(),
        "handshake": handshake,
        "sealed": sealed,
        "messages": _messages(),
        "records": _records(client),
        "reject": {
            "datagrams": _rejected_datagrams(flow, sealed),
            "handshake": _rejected_in_a_handshake(client, server, flow),
            "session": _rejected_in_a_session(client, server, flow),
            "messages": _rejected_messages(),
        },
    }
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(make(), encoding="utf-8")
