"""Trails as somebody would tamper with them: one folder for each case, and what must be found.

``python -m tests.tampering FOLDER`` writes all of them, to be looked at or audited by hand.
"""

import base64
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from qisguard.audit.policy import write_policy
from qisguard.identity.keys import PACKET_TAG, KeyPair
from qisguard.identity.network import seal_network
from qisguard.identity.roster import Issuer, Roster, seal_roster
from qisguard.trail.checkpoint import Checkpoint, LogKey, parse_checkpoint, sign_checkpoint
from qisguard.trail.cosignature import WitnessKey, cosign
from qisguard.trail.entries import publish
from qisguard.trail.merkle import leaf_hash, root
from qisguard.trail.tiles import ENTRIES, Tile, decode_bundle, encode_bundle
from tests.trails import TODAY, Net, key, ordinary, published, write_trail

NET = Net()
A, B = NET.member("a"), NET.member("b")
COUNT = 7
"""Entries of the trail that is tampered with: five packets, two batches."""
BUNDLE, TILE = (Tile(level, 0, COUNT).path for level in (ENTRIES, 0))
ORDER = (1 << 252) + 27742317777372353535851937790883648493
"""Of the prime-order group (RFC 8032, section 5.1)."""
NOON = TODAY * 86_400 + 43_200
WITNESS = ("w.example", key("w.example"))

Change = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to the trail in a folder, and which checks must find it.

    exit: what the audit ends with; findings make it 1.
    items: what is published instead of the ordinary packets.
    remembers: entries of the trail after which the policy remembers its checkpoint.
    """

    finds: frozenset[str]
    change: Change
    exit: int = 1
    items: Sequence[bytes] | None = None
    days: Sequence[int] | None = None
    remembers: tuple[int, ...] = ()
    peer: bool = False
    roster: Roster | None = None
    revoked: str = ""
    quorum: int = 0


def write_case(case: Case, folder: Path) -> tuple[list[Path], Path]:
    """Write the trails of a case and its policy; return both."""
    items = ordinary(NET, A, 5)
    if case.items is not None:
        days = case.days or [TODAY] * len(case.items)
        items = [(publish(d, p), (p,)) for p, d in zip(case.items, days, strict=True)]
    trail = write_trail(folder / "trail", A, items)
    seen = {
        f"size{size}": (write_trail(folder / f"at{size}", A, items[:size]) / "checkpoint")
        for size in case.remembers
    }
    logs = [LogKey(member.origin, member.log.public) for member in (A, B)]
    policy = folder / "policy"
    write_policy(
        policy,
        logs,
        authority=NET.authority.public,
        network=seal_network(NET.network, NET.authority),
        roster=seal_roster(case.roster or NET.roster(), NET.authority),
        checkpoints={name: path.read_bytes() for name, path in seen.items()},
        witnesses=[WitnessKey(WITNESS[0], WITNESS[1].public)],
        quorum=case.quorum,
    )
    if case.revoked:
        (policy / "revoked").write_text(case.revoked)
    trails = [trail]
    if case.peer:
        peer = write_trail(folder / "peer", B, ordinary(NET, B, 1))
        place = peer / "witness" / sha256(A.origin.encode()).hexdigest()
        place.mkdir(parents=True)
        shutil.copy(trail / "checkpoint", place)
        trails.append(peer)
    case.change(trail)
    return trails, policy


def _nothing(trail: Path) -> None:
    """Change nothing: what was published is bad enough."""


def _flip(path: str, offset: int, mask: int = 1) -> Change:
    def change(trail: Path) -> None:
        target = trail / path if path else sorted((trail / "packets").rglob("*/*"))[0]
        data = bytearray(target.read_bytes())
        data[offset] ^= mask
        target.write_bytes(data)

    return change


def _entries(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Change entries and fix the tile up; the checkpoint stays."""

    def apply(trail: Path) -> None:
        entries = change(decode_bundle((trail / BUNDLE).read_bytes(), COUNT))
        for path in (BUNDLE, TILE):
            (trail / path).unlink()
        leaves = b"".join(leaf_hash(entry) for entry in entries)
        (trail / Tile(ENTRIES, 0, len(entries)).path).write_bytes(encode_bundle(entries))
        (trail / Tile(0, 0, len(entries)).path).write_bytes(leaves)

    return apply


def _seal(trail: Path, log: KeyPair = A.log, origin: str = A.origin) -> None:
    """Sign what the entries are now."""
    (path,) = (trail / "tile" / "entries").rglob("000.p/*")
    leaves = [leaf_hash(entry) for entry in decode_bundle(path.read_bytes(), int(path.name))]
    note = sign_checkpoint(origin, len(leaves), root(leaves), log)
    (trail / "checkpoint").write_bytes(note.encode())


def _both(*changes: Change) -> Change:
    def apply(trail: Path) -> None:
        for change in changes:
            change(trail)

    return apply


def _older(trail: Path) -> None:
    """Put an older genuine state in the place of the trail."""
    shutil.rmtree(trail)
    write_trail(trail, A, ordinary(NET, A, 5)[:4])


def _rebuild(trail: Path) -> None:
    """Write another history of the same size with the log's own key."""
    items = ordinary(NET, A, 5)
    shutil.rmtree(trail)
    write_trail(trail, A, [items[1], items[0], *items[2:]])


def _replace_tail(trail: Path) -> None:
    items = ordinary(NET, A, 5)
    shutil.rmtree(trail)
    write_trail(trail, A, [*items[:3], published(NET.packet(A.author, 99)), *items[4:]])


def _note(change: Callable[[bytes], bytes]) -> Change:
    def apply(trail: Path) -> None:
        path = trail / "checkpoint"
        path.write_bytes(change(path.read_bytes()))

    return apply


def _sign_with(log: KeyPair, origin: str) -> Change:
    return lambda trail: _seal(trail, log, origin)


def _line(name: str, material: bytes) -> bytes:
    return f"— {name} {base64.b64encode(material).decode()}\n".encode()


def _cosigned(names: Sequence[str], time: int) -> Change:
    def change(note: bytes) -> bytes:
        head = parse_checkpoint(note)
        lines = [cosign(head, name, key(name), time) for name in names]
        return replace(head, lines=(*head.lines, *lines)).encode()

    return _note(change)


def _size(text: bytes) -> Change:
    return _note(lambda note: note.replace(b"\n7\n", b"\n" + text + b"\n"))


def _bundle(change: Callable[[bytes], bytes]) -> Change:
    def apply(trail: Path) -> None:
        (trail / BUNDLE).write_bytes(change((trail / BUNDLE).read_bytes()))

    return apply


def _huge(note: bytes) -> bytes:
    head = parse_checkpoint(note)
    return Checkpoint(head.origin, head.size, head.root, head.lines * 20_000).encode()


_GOOD = NET.packet(A.author, 1).data
_BODY, _SIGNATURE = _GOOD[:-64], _GOOD[-64:]
_AUTHOR = NET.packet(A.author, 1).body.author.encode()


def _signed(body: bytes, tag: bytes = PACKET_TAG) -> bytes:
    assert body != _BODY or tag != PACKET_TAG
    return body + A.author.sign(tag, body)


def _of_author(public: bytes, signature: bytes) -> bytes:
    text = base64.urlsafe_b64encode(public).rstrip(b"=")
    return _BODY.replace(_AUTHOR, text) + signature


def _case(*finds: str, change: Change = _nothing, **more: object) -> Case:
    return Case(frozenset(finds), change, **more)  # type: ignore[arg-type] # the fields of Case


_MALLEATED = _SIGNATURE[:32] + (int.from_bytes(_SIGNATURE[32:], "little") + ORDER).to_bytes(
    32, "little"
)
_OTHER_ISSUER = Roster(NET.network.id, 1, (Issuer("x", TODAY - 9, (A.author.public,), (B.node,)),))

CASES: dict[str, Case] = {
    "nothing": _case(exit=0),
    "bit flip in a packet's body": _case("AUD-20", change=_flip("", 20)),
    "bit flip in a packet's signature": _case("AUD-20", change=_flip("", -1)),
    "bit flip in entry with the tile fixed up": _case(
        "AUD-13",
        "AUD-22",
        change=_entries(lambda e: [*e[:2], e[2].replace(b"20000", b"20001"), *e[3:]]),
    ),
    "bit flip in a tile": _case("AUD-13", change=_flip(TILE, 40)),
    "two leaves swapped": _case("AUD-13", change=_entries(lambda e: [e[1], e[0], *e[2:]])),
    "leaf deleted, later ones moved up": _case(
        "AUD-12", change=_entries(lambda e: [*e[:2], *e[3:]])
    ),
    "leaf exchanged for a copy of its neighbour": _case(
        "AUD-13", "AUD-22", "AUD-12", change=_entries(lambda e: [*e[:2], e[1], *e[3:]])
    ),
    "log cut under its checkpoint": _case("AUD-12", change=_entries(lambda e: e[:4])),
    "rolled back to an older state that the policy remembers": _case(
        "AUD-14", change=_older, remembers=(6,)
    ),
    "rolled back to an older state that a peer remembers": _case(
        "AUD-14", change=_older, peer=True
    ),
    "tail replaced, signed by the right key": _case("AUD-14", change=_replace_tail, remembers=(5,)),
    "tail replaced, and a peer has the note": _case("AUD-31", change=_replace_tail, peer=True),
    "whole log built again, same size": _case("AUD-31", change=_rebuild, remembers=(7,)),
    "signed by another key of the same name": _case(
        "AUD-11", change=_sign_with(key("thief"), A.origin)
    ),
    "line of an unknown key added": _case(
        change=_note(lambda n: n + _line("x.example", bytes(80))), exit=0
    ),
    "bad line of a known key beside a good one": _case(
        "AUD-11",
        change=_note(lambda n: n + _line(B.origin, LogKey(B.origin, B.log.public).id + bytes(64))),
    ),
    "checkpoint of an unknown origin": _case(
        "AUD-11", "AUD-21", change=_sign_with(A.log, "other.example/log")
    ),
    "checkpoint of another log of the policy": _case("AUD-21", change=_sign_with(B.log, B.origin)),
    "size plus one": _case("AUD-11", "AUD-12", change=_size(b"8")),
    "size with a leading zero": _case("AUD-10", change=_size(b"07")),
    "size minus zero": _case("AUD-10", change=_size(b"-0")),
    "size below zero": _case("AUD-10", change=_size(b"-7")),
    "size 2^63": _case("AUD-10", change=_size(b"9223372036854775808")),
    "size in other digits": _case("AUD-10", change=_size("७".encode())),
    "size in exponents": _case("AUD-10", change=_size(b"7e0")),
    "lines that end as on other systems": _case(
        "AUD-10", change=_note(lambda n: n.replace(b"\n", b"\r\n"))
    ),
    "another empty line": _case("AUD-10", change=_note(lambda n: n.replace(b"\n\n", b"\n\n\n"))),
    "no newline at the end": _case("AUD-10", change=_note(lambda n: n[:-1])),
    "an extension line": _case("AUD-10", change=_note(lambda n: n.replace(b"\n\n", b"\nx\n\n"))),
    "not UTF-8": _case("AUD-10", change=_note(lambda n: b"\xff" + n)),
    "a note of megabytes": _case("AUD-10", change=_note(_huge)),
    "root in other base64": _case("AUD-10", change=_note(lambda n: n.replace(b"=\n\n", b"\n\n"))),
    "inner node presented as leaf": _case(
        "AUD-12",
        "AUD-13",
        "AUD-20",
        change=_entries(lambda e: [leaf_hash(e[0]) + leaf_hash(e[1]), *e[2:], e[-1]]),
    ),
    "two hashes as one entry, signed by the log": _case(
        "AUD-20",
        "AUD-12",
        change=_both(_entries(lambda e: [leaf_hash(e[0]) + leaf_hash(e[1]), *e[2:]]), _seal),
    ),
    "packet replayed": _case("AUD-22", items=[_GOOD, _GOOD]),
    "one number, two packets": _case("AUD-22", items=[_GOOD, NET.packet(A.author, 1, time=7).data]),
    "number that falls": _case(
        "AUD-22", items=[NET.packet(A.author, 1, seq=n).data for n in (3, 2)]
    ),
    "number that jumps too far": _case(
        "AUD-22", items=[NET.packet(A.author, 1, seq=n).data for n in (3, 5_000)]
    ),
    "packet of another network": _case("AUD-22", items=[Net("other").packet(A.author, 1).data]),
    "packet from after its entry": _case(
        "AUD-22", items=[NET.packet(A.author, 1, day=TODAY + 1).data]
    ),
    "packet that had run out": _case("AUD-22", items=[NET.packet(A.author, 1, exp=TODAY - 1).data]),
    "days that fall": _case(
        "AUD-22", items=[NET.packet(A.author, n).data for n in (1, 2)], days=[TODAY, TODAY - 1]
    ),
    "signature with the group's order added": _case("AUD-20", items=[_BODY + _MALLEATED]),
    "author of small order": _case(
        "AUD-20", items=[_of_author(b"\x01" + bytes(31), b"\x01" + bytes(63))]
    ),
    "author that is all zeros": _case("AUD-20", items=[_of_author(bytes(32), bytes(64))]),
    "author beyond the field": _case(
        "AUD-20", items=[_of_author(b"\xee" + b"\xff" * 30 + b"\x7f", b"\x01" + bytes(63))]
    ),
    "signature of another purpose": _case(
        "AUD-20", items=[_signed(_BODY, b"qisguard/provider-record/v1\n")]
    ),
    "signature of another key": _case("AUD-20", items=[_BODY + A.log.sign(PACKET_TAG, _BODY)]),
    "keys twice": _case("AUD-20", items=[_signed(_BODY.replace(b'"seq":0', b'"seq":0,"seq":0'))]),
    "another spelling of a number": _case(
        "AUD-20", items=[_signed(_BODY.replace(b'"seq":0', b'"seq":0.0'))]
    ),
    "a space more": _case("AUD-20", items=[_signed(_BODY + b" ")]),
    "a field more": _case("AUD-20", items=[_signed(_BODY.replace(b'"v":1', b'"v":1,"x":1'))]),
    "bytes after the signature": _case("AUD-20", items=[_GOOD + b"\0"]),
    "author off the roster": _case("AUD-21", items=[NET.packet(key("stranger"), 1).data]),
    "author of another issuer": _case("AUD-21", items=[NET.packet(B.author, 1).data]),
    "issuer that does not run this node": _case("AUD-21", items=[_GOOD], roster=_OTHER_ISSUER),
    "author not enrolled yet": _case(
        "AUD-21", items=[_GOOD], roster=NET.roster(enrolled=TODAY + 1)
    ),
    "author revoked": _case("AUD-21", items=[_GOOD], revoked=f"{_AUTHOR.decode()} {TODAY}\n"),
    "author revoked later, seen by nobody before": _case(
        items=[_GOOD], revoked=f"{_AUTHOR.decode()} {TODAY + 9}\n", exit=3
    ),
    "author revoked later, seen by a witness before": _case(
        change=_cosigned([WITNESS[0]], NOON),
        items=[_GOOD],
        revoked=f"{_AUTHOR.decode()} {TODAY + 9}\n",
        exit=0,
    ),
    "day from after a witness saw it": _case(
        "AUD-22", change=_cosigned([WITNESS[0]], NOON - 3 * 86_400)
    ),
    "cosignature from the future": _case(
        "AUD-30", change=_cosigned([WITNESS[0]], NOON + 10**9), quorum=1
    ),
    "quorum of unknown witnesses alone": _case(
        change=_cosigned(["x.example", "y.example"], NOON), quorum=1, exit=3
    ),
    "quorum of the known witness": _case(change=_cosigned([WITNESS[0]], NOON), quorum=1, exit=0),
    "witness twice": _case("AUD-30", change=_cosigned([WITNESS[0]] * 2, NOON), quorum=1),
    "length prefix past the end": _case("AUD-12", change=_flip(BUNDLE, 0, 0xFF)),
    "bytes after the last entry": _case("AUD-12", change=_bundle(lambda b: b + b"\0\1x")),
    "bundle cut in a length prefix": _case("AUD-12", change=_bundle(lambda b: b[:1])),
    "bundle emptied": _case("AUD-12", change=_bundle(lambda b: b"")),
}


if __name__ == "__main__":
    for number, (name, case) in enumerate(CASES.items()):
        trails, policy = write_case(case, Path(sys.argv[1]) / f"{number:02d}")
        command = " ".join(["qisguard audit", *map(str, trails), "--trust", str(policy)])
        print(f"{name}: {', '.join(sorted(case.finds)) or f'exit {case.exit}'}\n  {command}")
