"""An honest trail with everything that proves, and one change to it at a time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.bundles import audit_bundle
from qisguard.audit.findings import Findings
from qisguard.audit.one import Options, open_trail
from qisguard.audit.policy import Policy, load_policy, write_policy
from qisguard.audit.stamped import judge_late
from qisguard.audit.witnessed import Shown, check_cosignatures, missing_quorum
from qisguard.errors import QisguardError
from qisguard.exits import Exit
from qisguard.identity.ids import node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network, seal_network
from qisguard.identity.roster import Issuer, Roster, seal_roster
from qisguard.notary.batches import encode_receipt, make_batch
from qisguard.notary.headers import Headers, block_hash
from qisguard.notary.headers import Network as Chain
from qisguard.notary.policy import NotaryPolicy
from qisguard.notary.stamps import (
    APPEND,
    PREPEND,
    SHA256,
    Bitcoin,
    Operation,
    Stamp,
    Timestamp,
    encode_stamp,
)
from qisguard.outcomes.packet import Outcome, packet_body, sign_packet
from qisguard.trail.bundle import make_bundle, make_item
from qisguard.trail.checkpoint import Checkpoint, Line, LogKey, origin_of, parse_checkpoint
from qisguard.trail.cosignature import WitnessKey, cosign
from qisguard.trail.entries import Entry, hold, publish
from qisguard.trail.files import MemoryFiles
from qisguard.trail.log import Trail
from qisguard.trail.proofs import TreeReader
from qisguard.trail.tlog_proof import TlogProof, parse_proof, verify_proof

DAY = 19_675
TIME = DAY * 86_400 + 40_000
HEIGHT = 100
TARGETS = ("log", "proof", "checkpoint", "cosignature", "stamp")
_COUNT = 9
_UNKNOWN = Line("stranger.example", b"\1\2\3\4", bytes(range(72)))


@dataclass(frozen=True, slots=True)
class Tried:
    """One mutation; ``reason`` is why it may be accepted, as it says the same."""

    what: str
    is_clean: bool
    reason: str = ""
    is_unchanged: bool = False


class Bench:
    """The honest trail in a folder, changed and restored."""

    def __init__(self, place: Path) -> None:
        self._trail = place / "trail"
        self._bundle = place / "bundle.json"
        self.policy = self._write(place)
        self._options = Options(now=TIME + 86_400, processes=1)
        self._honest = {
            str(path.relative_to(self._trail)): path.read_bytes()
            for path in sorted(self._trail.rglob("*"))
            if path.is_file()
        }
        self._files = {
            "log": [p for p in self._honest if p.startswith(("tile/", "packets/"))],
            "checkpoint": ["checkpoint"],
            "cosignature": ["checkpoint"],
            "stamp": [p for p in self._honest if p.startswith("notary/")],
        }
        self._proof = self._make_proof()
        self._whole_bundle = self._make_bundle()

    def is_honest_clean(self) -> bool:
        """Return whether everything honest is found to be clean."""
        self._bundle.write_bytes(self._whole_bundle)
        return (
            self._audit() is Exit.CLEAN
            and self._judge()
            and self._accepts_proof(self._proof[0])
            and verdict(audit_bundle(self._bundle, self.policy, self._options)) is Exit.CLEAN
        )

    def mutate(self, target: str, rng: random.Random, *, is_whole: bool) -> Tried:
        """Change one place of ``target``, judge, and put it back."""
        if target == "proof":
            return self._mutate_proof(rng)
        path = rng.choice(self._files[target])
        good = self._honest[path]
        if target == "log" and rng.random() < 0.1:
            return self._move(path, rng)
        if target == "cosignature":
            kind, bad = _change_line(good, rng)
        else:
            kind, bad = change(good, rng, list(self._honest.values()))
        what = f"{path}: {kind}"
        if bad == good:
            return Tried(what, True, is_unchanged=True)
        (self._trail / path).write_bytes(bad)
        try:
            clean = self._judge() if target != "log" else self._audit() is Exit.CLEAN
            if is_whole and target != "log" and (self._audit() is Exit.CLEAN) != clean:
                raise AssertionError(f"{what}: judged {clean}, audited otherwise")
        finally:
            (self._trail / path).write_bytes(good)
        return Tried(what, clean, self._excuse(path, bad) if clean else "")

    def restore(self) -> None:
        """Put everything back, whatever happened."""
        for path in list(self._trail.rglob("*")):
            if path.is_file() and str(path.relative_to(self._trail)) not in self._honest:
                path.unlink()
        for name, data in self._honest.items():
            (self._trail / name).parent.mkdir(parents=True, exist_ok=True)
            (self._trail / name).write_bytes(data)

    def _audit(self) -> Exit:
        return verdict(audit([self._trail], self.policy, self._options))

    def _judge(self) -> bool:
        """Return whether all but the tree is clean, with the tree of the honest log."""
        trail = open_trail(self._trail, 0, self.policy)
        if trail.head is None:
            return False
        notes = [Shown("", "checkpoint", trail.head, trail.out)]
        notes += [Shown("", note.file, note.head, trail.out) for note in trail.beside.notes]
        now = self._options.now
        seen = check_cosignatures(notes, self.policy, now)
        missing = missing_quorum(trail.head, seen, self.policy, now, None)
        roots = {self._head.size: self._head.root}
        judge_late(trail.head, trail.stamped, roots, self.policy.notary, trail.out)
        is_same = (trail.head.size, trail.head.root) == (self._head.size, self._head.root)
        return is_same and not (
            missing or trail.out.counts or trail.unmeasured or trail.stamped.unmeasured
        )

    def _mutate_proof(self, rng: random.Random) -> Tried:
        """Change a proof file or a bundle."""
        if rng.random() < 0.5:
            good, _ = self._proof
            kind, bad = change(good, rng, [good, self._whole_bundle])
            if bad == good:
                return Tried(kind, True, is_unchanged=True)
            clean = self._accepts_proof(bad)
            excuse = self._excuse_note(parse_proof(bad).checkpoint) if clean else ""
            if clean and parse_proof(bad).hashes != parse_proof(good).hashes:
                excuse = ""
            return Tried(f"proof: {kind}", clean, excuse)
        good = self._whole_bundle
        kind, bad = change(good, rng, [good, self._proof[0]])
        if bad == good:
            return Tried(kind, True, is_unchanged=True)
        self._bundle.write_bytes(bad)
        report = audit_bundle(self._bundle, self.policy, self._options)
        return Tried(f"bundle: {kind}", verdict(report) is Exit.CLEAN, self._excuse_bundle(bad))

    def _accepts_proof(self, data: bytes) -> bool:
        """Verify a proof file as a stranger with the policy would, cosignatures too."""
        try:
            head = verify_proof(parse_proof(data), self._proof[1], self.policy.logs)
        except QisguardError:
            return False
        note = Shown("", "", head, Findings(""))
        seen = check_cosignatures([note], self.policy, self._options.now)
        missing = missing_quorum(head, seen, self.policy, self._options.now, None)
        return not note.out.counts and missing is None

    def _move(self, path: str, rng: random.Random) -> Tried:
        """Remove, rename or double a file."""
        source, good = self._trail / path, self._honest[path]
        kind = rng.choice(("remove", "rename", "double"))
        other = source.with_name(rng.choice(("000", "001", "1", source.name[::-1], "x")))
        if other.exists():
            return Tried(kind, True, is_unchanged=True)
        if kind != "double":
            source.unlink()
        if kind != "remove":
            other.write_bytes(good)
        clean = self._audit() is Exit.CLEAN
        other.unlink(missing_ok=True)
        source.write_bytes(good)
        is_erased = kind == "remove" and path.startswith("packets/")
        return Tried(f"{path}: {kind}", clean, "a packet was erased" if is_erased else "")

    def _excuse(self, path: str, bad: bytes) -> str:
        if path == "checkpoint" or path.endswith(".checkpoint"):
            return self._excuse_note(bad)
        return ""

    def _excuse_note(self, note: bytes) -> str:
        """Return why a note may be accepted: it says and proves the same, byte for byte."""
        known = self._head.encode().split(b"\n\n", 1)[1].splitlines()
        text, _, lines = note.partition(b"\n\n")
        trusted = [line for line in known if b"stranger.example" not in line]
        if text + b"\n" != self._head.text:
            return ""
        rows = lines.splitlines()
        if all(rows.count(line) == 1 for line in trusted):
            return "only lines of unknown keys, or the order of lines, differ"
        return ""

    def _excuse_bundle(self, bad: bytes) -> str:
        import json

        try:
            mine, theirs = json.loads(self._whole_bundle), json.loads(bad)
            note = theirs.pop("checkpoint").encode()
        except (ValueError, KeyError, AttributeError):
            return ""
        mine.pop("checkpoint")
        for honest, item in zip(mine["items"], theirs["items"], strict=False):
            if "packet" not in item:
                honest.pop("packet", None)
        return self._excuse_note(note) if mine == theirs else ""

    def _make_proof(self) -> tuple[bytes, bytes]:
        reader = TreeReader(self._honest.get, self._head)
        entry = reader.entry(2)
        note = self._honest["checkpoint"]
        return TlogProof(2, tuple(reader.inclusion(2, entry)), note).encode(), entry

    def _make_bundle(self) -> bytes:
        reader = TreeReader(self._honest.get, self._head)
        items = []
        for index in (0, 3, _COUNT):
            entry = reader.entry(index)
            packet = None if index == _COUNT else self._packets[index]
            items.append(make_item(index, entry, reader.inclusion(index, entry), packet))
        return make_bundle(self._head, items).encode()

    def _write(self, place: Path) -> Policy:
        """Write trail and policy; everything of it follows from names."""
        node, log, author, authority = (_key(name) for name in ("n", "l", "a", "y"))
        identity = node_id(node.public)
        network = Network("mutated", authority.public, bytes(32), 0, 0)
        origin = origin_of(network.id, identity)
        public = MemoryFiles()
        trail = Trail.create(public, MemoryFiles(), origin, log)
        self._packets = [_packet(network.id, author, number) for number in range(_COUNT)]
        items: list[tuple[Entry, tuple[bytes, ...]]] = [
            (publish(DAY, packet, seq=1), (packet,)) for packet in self._packets
        ]
        for entry, packets in [*items, (hold(DAY, [bytes(32)]), ())]:
            trail.append(entry, packets)
        trail.checkpoint()
        public.save(self._trail)
        witness = _key("w")
        head = parse_checkpoint((self._trail / "checkpoint").read_bytes())
        line = cosign(head, "w.example", witness, TIME)
        self._head = replace(head, lines=(*head.lines, line, _UNKNOWN))
        (self._trail / "checkpoint").write_bytes(self._head.encode())
        notary = self._write_stamps(self._head)
        roster = Roster(network.id, 1, (Issuer("i", DAY - 9, (author.public,), (identity,)),))
        write_policy(
            place / "policy",
            [LogKey(origin, log.public)],
            authority=authority.public,
            network=seal_network(network, authority),
            roster=seal_roster(roster, authority),
            witnesses=[WitnessKey("w.example", witness.public)],
            quorum=1,
        )
        return replace(load_policy(place / "policy"), notary=notary)

    def _write_stamps(self, head: Checkpoint) -> NotaryPolicy:
        """Anchor the checkpoint and a batch that holds it in one block, which the policy names."""
        (receipt, *_) = make_batch([head.text, b"other"], _key("batcher"))
        left, right = sha256(head.text).digest(), sha256(receipt.head).digest()
        merkle = sha256(left + right).digest()
        first = _stamp(left, Operation(APPEND, right))
        second = _stamp(right, Operation(PREPEND, left))
        raw = _mine(merkle)
        chain = Headers(Chain.REGTEST, HEIGHT, raw)
        size, folder = head.size, self._trail / "notary"
        folder.mkdir()
        copy = replace(head, lines=head.lines[:1])  # as it was before anybody cosigned
        (folder / f"{size}.checkpoint").write_bytes(copy.encode())
        (folder / f"{size}.ots").write_bytes(encode_stamp(first))
        stamped = replace(receipt, stamp=encode_stamp(second))
        (folder / f"{size}.chainpoint.json").write_bytes(encode_receipt(stamped))
        (folder / "headers.otsh").write_bytes(chain.encode())
        return NotaryPolicy(Chain.REGTEST, {HEIGHT: block_hash(raw)}, 1)


def change(good: bytes, rng: random.Random, others: list[bytes]) -> tuple[str, bytes]:
    """Return how ``good`` was changed in one place, and the result; it may be the same."""
    place, end = sorted((rng.randrange(len(good) + 1), rng.randrange(len(good) + 1)))
    at = rng.randrange(len(good))
    run = good[place:end][:64]
    kinds: dict[str, Callable[[], bytes]] = {
        "bit": lambda: good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :],
        "byte": lambda: good[:at] + rng.randbytes(1) + good[at + 1 :],
        "insert": lambda: good[:at] + rng.randbytes(1) + good[at:],
        "delete": lambda: good[:at] + good[at + 1 :],
        "double": lambda: good[:end] + run + good[end:],
        "cut out": lambda: good[:place] + good[place + len(run) :],
        "move": lambda: (
            (good[:place] + good[place + len(run) :])[:at]
            + run
            + (good[:place] + good[place + len(run) :])[at:]
        ),
        "swap": lambda: good[:at] + good[at + 1 : at + 2] + good[at : at + 1] + good[at + 2 :],
        "made up": lambda: good[:place] + rng.randbytes(len(run)) + good[place + len(run) :],
        "zeros": lambda: good[:place] + bytes(len(run)) + good[place + len(run) :],
        "truncate": lambda: good[:at],
        "append": lambda: good + rng.randbytes(rng.randrange(1, 9)),
        "exchange": lambda: rng.choice(others),
        "digit": lambda: _change_digit(good, rng),
        "line": lambda: _change_lines(good, rng),
    }
    kind = rng.choice(tuple(kinds))
    return kind, kinds[kind]()


def _change_digit(good: bytes, rng: random.Random) -> bytes:
    places = [place for place, byte in enumerate(good) if 48 <= byte < 58]
    if not places:
        return good
    place = rng.choice(places)
    return good[:place] + b"%d" % rng.randrange(10) + good[place + 1 :]


def _change_lines(good: bytes, rng: random.Random) -> bytes:
    """Drop, double or move a line."""
    lines = good.splitlines(keepends=True)
    one = lines.pop(rng.randrange(len(lines))) if lines else b""
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), one)
    return b"".join(lines)


def _change_line(note: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change the line of the witness, in the bytes behind its base64 or in its spelling."""
    head = parse_checkpoint(note)
    lines = list(head.lines)
    line = lines[1]
    if rng.random() < 0.5:
        kind, material = change(line.id + line.signature, rng, [lines[0].signature])
        if len(material) <= 4:
            return kind, note
        lines[1] = Line(line.name, material[:4], material[4:])
        return kind, replace(head, lines=tuple(lines)).encode()
    rows = note.splitlines(keepends=True)
    kind, rows[5] = change(rows[5], rng, rows)
    return kind, b"".join(rows)


def _stamp(digest: bytes, first: Operation) -> Stamp:
    end = Timestamp((Bitcoin(HEIGHT),))
    inner = Timestamp((), ((Operation(SHA256), end),))
    return Stamp(SHA256, digest, Timestamp((), ((first, inner),)))


def _mine(merkle: bytes) -> bytes:
    """Return a header of the easiest target for this Merkle root."""
    for nonce in range(1 << 20):
        numbers = TIME.to_bytes(4, "little") + (0x207FFFFF).to_bytes(4, "little")
        raw = (4).to_bytes(4, "little") + bytes(32) + merkle + numbers + nonce.to_bytes(4, "little")
        if block_hash(raw)[31] < 0x7F:
            return raw
    raise ValueError("no nonce found")


def _packet(network: bytes, author: KeyPair, case: int) -> bytes:
    body = packet_body(
        network=network,
        template="nsclc/1",
        key=sha256(b"similar").digest(),
        case=case.to_bytes(16, "big"),
        author=author.public,
        seq=1,
        day=DAY - 5,
        exp=DAY + 500,
        arm="A",
        outcome=Outcome.after(100, 1),
        feat={"age": 61},
    )
    return sign_packet(body, author).data


def _key(name: str) -> KeyPair:
    return KeyPair.from_seed(sha256(b"mutated " + name.encode()).digest())
