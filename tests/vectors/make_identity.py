"""Make ``identity.json``: what must be accepted and what must be refused, byte for byte.

    uv run python tests/vectors/make_identity.py

Everything follows from fixed seeds, so the file is the same wherever it is made. Bytes are in hex;
``error`` is the class of the refusal (``qisguard/errors.py``), null where all is well. The rules
are those of ``docs/spec/identity.md``.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from qisguard.identity.descriptor import Descriptor, Identity
from qisguard.identity.ids import node_id, to_bytes
from qisguard.identity.keys import DESCRIPTOR_TAG, NETWORK_TAG, PACKET_TAG, KeyPair, to_text
from qisguard.identity.network import Network, seal_network
from qisguard.identity.puzzle import (
    Draw,
    PuzzleForm,
    dynamic_bits,
    solve_dynamic,
    solve_static,
    static_bits,
)

FILE = Path(__file__).with_name("identity.json")
TODAY = 20_000
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the prime-order group of Ed25519 (RFC 8032, section 5.1)."""
P = 2**255 - 19

FIELDS = [
    "v",
    "network",
    "key",
    "solution",
    "host",
    "port",
    "tls_key",
    "log_key",
    "witness_key",
    "seq",
    "expires",
]
KEYS = ("key", "tls_key", "log_key", "witness_key")

Case = dict[str, Any]


def _draw(seed: str) -> Draw:
    return random.Random(f"vectors {seed}").randbytes


def _pair(name: str) -> KeyPair:
    return KeyPair.from_seed(_draw(name)(32))


AUTHORITY = _pair("authority")


def _network(name: str, c1: int, c2: int, form: PuzzleForm = PuzzleForm.SHA256) -> Network:
    epoch = _draw(f"epoch {name}")(32)
    return Network(name, AUTHORITY.public, epoch, c1, c2, form, 1_024, 2)


FREE = _network("free", 0, 0)
PRICED = _network("priced", 8, 10)
DEAR = _network("dear", 4, 6, PuzzleForm.ARGON2ID)


def _identity(name: str, network: Network) -> Identity:
    draw = _draw(f"identity {name}")
    key = solve_static(network.c1, draw)
    where = (network.id, network.epoch, node_id(key.public))
    solution = solve_dynamic(*where, network.c2, draw, network.cost)
    return Identity(key, solution, *(KeyPair.from_seed(draw(32)) for _ in range(3)))


def _describe(identity: Identity, network: Network, host: str = "192.0.2.7") -> Descriptor:
    return identity.describe(network, (host, 4_000), 3, TODAY + 30)


# --- ids and puzzles -----------------------------------------------------------------------------
def _ids() -> Iterator[Case]:
    for name in ("a", "b", "c"):
        public = _pair(f"id {name}").public
        identifier = to_bytes(node_id(public))
        yield {"key": public.hex(), "id": identifier.hex(), "text": to_text(identifier)}


def _enrollable() -> Iterator[Case]:
    yield {"name": "an ordinary key", "key": AUTHORITY.public.hex(), "error": None}
    encodings = {
        "order 1": 1,
        "order 2": P - 1,
        "order 4": 0,
        "order 4, sign set": 1 << 255,
        "0, not canonical": P,
        "1, not canonical": P + 1,
        "not on the curve": 2,
    }
    for name, value in encodings.items():
        yield {"name": name, "key": value.to_bytes(32, "little").hex(), "error": "IdentityError"}
    short = AUTHORITY.public[:31].hex()
    yield {"name": "31 bytes", "key": short, "error": "IdentityError"}
    mixed = _with_torsion(AUTHORITY.public)
    yield {"name": "not of prime order", "key": mixed.hex(), "error": "IdentityError"}


def _with_torsion(public: bytes) -> bytes:
    """Return the encoding of P plus the point of order 2: (-x, -y)."""
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    sign = public[31] >> 7
    return (P - y | (1 - sign) << 255).to_bytes(32, "little")


def _static() -> Iterator[Case]:
    for c1 in (0, 4, 8):
        identifier = node_id(solve_static(c1, _draw(f"static {c1}")).public)
        yield {"id": to_bytes(identifier).hex(), "bits": static_bits(identifier)}


def _dynamic() -> Iterator[Case]:
    for network in (PRICED, DEAR):
        cost = network.cost
        for name in ("a", "b", "c"):
            identifier = node_id(_pair(f"dynamic {name}").public)
            where = (network.id, network.epoch, identifier)
            draw = _draw(f"solution {name}")
            for solution in (draw(16), solve_dynamic(*where, network.c2, draw, cost)):
                yield {
                    "form": network.puzzle.value,
                    "memory": cost.memory if cost else None,
                    "passes": cost.passes if cost else None,
                    "network": network.id.hex(),
                    "epoch": network.epoch.hex(),
                    "id": to_bytes(identifier).hex(),
                    "solution": solution.hex(),
                    "bits": dynamic_bits(*where, solution, cost),
                }


# --- network files -------------------------------------------------------------------------------
def _network_files() -> Iterator[Case]:
    for network in (FREE, PRICED, DEAR):
        yield _network_case(network.name, seal_network(network, AUTHORITY), None, network)
    good = json.loads(seal_network(DEAR, AUTHORITY).split(b"\n")[0])
    plain = json.loads(seal_network(PRICED, AUTHORITY).split(b"\n")[0])

    changes: dict[str, tuple[Case, str]] = {
        "unknown version": (good | {"v": 2}, "IdentityError"),
        "another authority": (good | {"authority": to_text(_pair("x").public)}, "IdentityError"),
        "authority too short": (good | {"authority": "AAAA"}, "DecodeError"),
        "epoch of 31 bytes": (good | {"epoch": to_text(bytes(31))}, "DecodeError"),
        "epoch padded": (good | {"epoch": to_text(bytes(32)) + "="}, "DecodeError"),
        "no name": (good | {"name": ""}, "IdentityError"),
        "name of 65 characters": (good | {"name": "n" * 65}, "IdentityError"),
        "name with an escape": (good | {"name": "a\u001b[2J"}, "IdentityError"),
        "name outside ASCII": (good | {"name": "né"}, "IdentityError"),
        "c1 below 0": (good | {"c1": -1}, "IdentityError"),
        "c2 above 64": (good | {"c2": 65}, "IdentityError"),
        "c1 not whole": (good | {"c1": 1.5}, "DecodeError"),
        "c1 a truth value": (good | {"c1": True}, "DecodeError"),
        "unknown puzzle": (good | {"puzzle": "md5"}, "IdentityError"),
        "too little memory": (good | {"memory": 1_023}, "IdentityError"),
        "too much memory": (good | {"memory": 65_537}, "IdentityError"),
        "no passes": (good | {"passes": 0}, "IdentityError"),
        "too many passes": (good | {"passes": 5}, "IdentityError"),
        "argon2id without memory": (_without(good, "memory"), "IdentityError"),
        "sha256 with memory": (plain | {"memory": 1_024}, "IdentityError"),
        "sha256 with passes": (plain | {"passes": 1}, "IdentityError"),
        "memory null": (plain | {"memory": None}, "DecodeError"),
        "no puzzle": (_without(plain, "puzzle"), "DecodeError"),
        "unknown field": (good | {"more": 1}, "DecodeError"),
        "field missing": (_without(good, "epoch"), "DecodeError"),
        "fields in another order": (dict(reversed(good.items())), "DecodeError"),
    }
    for name, (value, error) in changes.items():
        yield _network_case(name, _seal(_compact(value)), error)
    body, signature, _ = seal_network(DEAR, AUTHORITY).split(b"\n")
    yield _network_case("white space", _seal(json.dumps(good).encode()), "DecodeError")
    yield _network_case("not JSON", _seal(b"network"), "DecodeError")
    yield _network_case("one line", body + b"\n", "DecodeError")
    yield _network_case("no newline at the end", body + b"\n" + signature, "DecodeError")
    yield _network_case("three lines", body + b"\n" + signature + b"\n\n", "DecodeError")
    yield _network_case("signature cut", body + b"\n" + signature[:-1] + b"\n", "DecodeError")
    wrong = _seal(body, _pair("x"))
    yield _network_case("signed by another", wrong, "ProofError")
    yield _network_case("signed for another purpose", _seal(body, tag=PACKET_TAG), "ProofError")


def _network_case(name: str, file: bytes, error: str | None, network: Network = FREE) -> Case:
    case: Case = {"name": name, "file": file.decode(), "error": error}
    if error is None:
        case["id"] = network.id.hex()
    return case


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _seal(body: bytes, key: KeyPair = AUTHORITY, tag: bytes = NETWORK_TAG) -> bytes:
    return body + b"\n" + to_text(key.sign(tag, body)).encode() + b"\n"


def _without(value: Case, name: str) -> Case:
    return {key: held for key, held in value.items() if key != name}


# --- descriptors ---------------------------------------------------------------------------------
def _accepted() -> Iterator[Case]:
    identity = _identity("free", FREE)
    for host in ("192.0.2.7", "255.255.255.254", "127.0.0.1", "2001:db8::1", "::1", "2001:db8::"):
        yield _descriptor_case(f"at {host}", FREE, _describe(identity, FREE, host).signed, None)
    for name, network in (("sha256", PRICED), ("argon2id", DEAR)):
        made = _describe(_identity(name, network), network)
        yield _descriptor_case(f"puzzles solved, {name}", network, made.signed, None)
    last = identity.describe(FREE, ("192.0.2.7", 65_535), 2**53 - 1, TODAY)
    yield _descriptor_case("the last day, the largest numbers", FREE, last.signed, None)
    longest = identity.describe(FREE, ("192.0.2.7", 1), 0, TODAY + 400)
    yield _descriptor_case("the longest validity, the least numbers", FREE, longest.signed, None)


def _refused() -> Iterator[Case]:
    identity = _identity("free", FREE)
    good = _describe(identity, FREE)
    values = dict(zip(FIELDS, msgspec.msgpack.decode(good.signed[:-64]), strict=True))

    def forged(error: str, name: str, **changes: object) -> Case:
        body = msgspec.msgpack.encode(list((values | changes).values()))
        signed = body + identity.key.sign(DESCRIPTOR_TAG, body)
        return _descriptor_case(name, FREE, signed, error)

    def encoded(error: str, name: str, body: bytes) -> Case:
        return _descriptor_case(name, FREE, body + identity.key.sign(DESCRIPTOR_TAG, body), error)

    yield forged("IdentityError", "version 2", v=2)
    yield forged("IdentityError", "another network", network=PRICED.id)
    yield forged("IdentityError", "network of 31 bytes", network=FREE.id[:31])
    for field in KEYS:
        yield forged("IdentityError", f"{field} of 31 bytes", **{field: bytes(31)})
        for name, y in (("of order 4", 0), ("of order 1", 1), ("not canonical", P + 1)):
            key = y.to_bytes(32, "little")
            yield forged("IdentityError", f"{field} {name}", **{field: key})
        mixed = _with_torsion(values[field])
        yield forged("IdentityError", f"{field} not of prime order", **{field: mixed})
    for field in KEYS[1:]:
        same = f"{field} equal to the identity key"
        yield forged("IdentityError", same, **{field: values["key"]})
    yield forged("IdentityError", "log key equal to tls key", log_key=values["tls_key"])
    for size in (0, 15, 17):
        yield forged("IdentityError", f"solution of {size} bytes", solution=bytes(size))
    for host in (
        *("", "localhost", "192.0.2.07", "192.0.2", "0xC0000207", " 192.0.2.7", "192.0.2.7 "),
        *("2001:DB8::1", "2001:db8:0::1", "[::1]", "fe80::1%eth0", "fe80::1%", "::ffff:192.0.2.7"),
        *("::ffff:c000:207", "0.0.0.0", "::", "224.0.0.1", "ff02::1"),
    ):
        yield forged("IdentityError", f"host {host!r}", host=host)
    for port in (0, -1, 65_536):
        yield forged("IdentityError", f"port {port}", port=port)
    for field in ("seq", "expires"):
        for number in (-1, 2**53, 2**64 - 1):
            yield forged("IdentityError", f"{field} {number}", **{field: number})
    yield forged("IdentityError", "expired yesterday", expires=TODAY - 1)
    yield forged("IdentityError", "valid for too long", expires=TODAY + 401)
    for field, value in (("v", "1"), ("key", None), ("host", b"192.0.2.7"), ("port", 4_000.0)):
        yield forged("DecodeError", f"{field} of another type", **{field: value})

    body, signature = good.signed[:-64], good.signed[-64:]
    yield encoded("DecodeError", "a field too many", _recode([*values.values(), 0]))
    yield encoded("DecodeError", "a field too few", _recode([*values.values()][:-1]))
    yield encoded("DecodeError", "a map", _recode(values))
    yield encoded("DecodeError", "a byte after the body", body + b"\x00")
    yield encoded("DecodeError", "no body", b"")
    yield encoded("DecodeError", "integer longer than need be", b"\x9b\xcc\x01" + body[2:])
    yield encoded("DecodeError", "array longer than need be", b"\xdc\x00\x0b" + body[1:])
    assert body[2:4] == b"\xc4\x20"
    longer = body[:2] + b"\xc5\x00\x20" + body[4:]
    yield encoded("DecodeError", "bytes longer than need be", longer)
    text = b"\xa9192.0.2.7"
    longer = body.replace(text, b"\xd9\x09" + text[1:])
    yield encoded("DecodeError", "text longer than need be", longer)
    yield encoded(
        "DecodeError", "text that is not UTF-8", body.replace(text, b"\xa9\xff" + b"x" * 8)
    )
    yield encoded("DecodeError", "too long", body + bytes(449 - len(body)))

    for name, data, error in (
        ("a byte after the signature", good.signed + b"\x00", "DecodeError"),
        ("cut by one byte", good.signed[:-1], "DecodeError"),
        ("empty", b"", "DecodeError"),
        ("signature flipped in R", body + _flip(signature, 0), "ProofError"),
        ("signature flipped in S", body + _flip(signature, 40), "ProofError"),
        ("signature with S + L", body + _malleable(signature), "ProofError"),
        ("signature of nothing", body + bytes(64), "ProofError"),
        ("signed by the tls key", body + identity.tls.sign(DESCRIPTOR_TAG, body), "ProofError"),
        ("signed for another purpose", body + identity.key.sign(PACKET_TAG, body), "ProofError"),
        ("signed without a tag", body + identity.key.sign(b"", body), "ProofError"),
    ):
        yield _descriptor_case(name, FREE, data, error)


def _unpaid() -> Iterator[Case]:
    """Return descriptors whose puzzles do not hold; each would be good in an easier network."""
    for network in (PRICED, DEAR):
        form = network.puzzle.value
        paid = _identity(form, network)
        for name, other in (
            ("static puzzle of too few bits", msgspec.structs.replace(network, c1=24)),
            ("dynamic puzzle of too few bits", msgspec.structs.replace(network, c2=24)),
            ("solution of another epoch", msgspec.structs.replace(network, epoch=bytes(32))),
        ):
            signed = _describe(paid, network).signed
            yield _descriptor_case(f"{name}, {form}", other, signed, "IdentityError")
        stolen = replace(_identity("thief", network), solution=paid.solution)
        easy = msgspec.structs.replace(network, c2=0)
        signed = _describe(stolen, easy).signed
        yield _descriptor_case(f"solution of another id, {form}", network, signed, "IdentityError")
    swapped = msgspec.structs.replace(DEAR, puzzle=PuzzleForm.SHA256)
    signed = _describe(_identity("argon2id", DEAR), DEAR).signed
    yield _descriptor_case("solution in the other form", swapped, signed, "IdentityError")


def _descriptor_case(name: str, network: Network, data: bytes, error: str | None) -> Case:
    file = seal_network(network, AUTHORITY).decode()
    case: Case = {"name": name, "network": file, "today": TODAY, "data": data.hex()}
    if error is None:
        values = dict(zip(FIELDS, msgspec.msgpack.decode(data[:-64]), strict=True))
        case["id"] = to_bytes(node_id(values["key"])).hex()
        case["fields"] = {
            field: value.hex() if isinstance(value, bytes) else value
            for field, value in values.items()
        }
    return case | {"error": error}


def _recode(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _malleable(signature: bytes) -> bytes:
    """Return R ‖ S + L, which satisfies the equation too (RFC 8032, section 8.4)."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(
        32, "little"
    )


def make() -> bytes:
    """Return the content of the file."""
    value = {
        "format": "qisguard identity vectors, version 1",
        "authority": AUTHORITY.public.hex(),
        "node_ids": list(_ids()),
        "keys": list(_enrollable()),
        "static_puzzles": list(_static()),
        "dynamic_puzzles": list(_dynamic()),
        "network_files": list(_network_files()),
        "descriptors": [*_accepted(), *_refused(), *_unpaid()],
    }
    return json.dumps(value, indent=1).encode() + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(make())
