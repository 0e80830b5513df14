"""The witness: statuses of the specification, the race, crashes, and a slow model."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qisguard.errors import DecodeError, TrailError
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import Checkpoint, Line, LogKey, parse_checkpoint, sign_checkpoint
from qisguard.trail.cosignature import verify_cosignature, verify_cosignatures
from qisguard.trail.evidence import decode_evidence
from qisguard.trail.files import MemoryFiles
from qisguard.trail.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, root
from qisguard.trail.witness import (
    PROOF_COUNT_MAX,
    AddCheckpoint,
    Answer,
    FileMemory,
    Status,
    Witness,
    note_path,
    parse_add_checkpoint,
)
from tests.witness_vectors import LOGS, NAME, expected_status, load_cases

ORIGIN = "log.example/one"
LOG = KeyPair.from_seed(b"\x01" * 32)
KEY = LogKey(ORIGIN, LOG.public)
PAIR = KeyPair.from_seed(b"\x02" * 32)
LEAVES = [leaf_hash(bytes([n])) for n in range(40)]
FORK = [*LEAVES[:5], *(leaf_hash(b"fork%d" % n) for n in range(35))]
TIME = 1_700_000_000


def _witness(files: MemoryFiles | None = None) -> Witness:
    return Witness(NAME, PAIR, {ORIGIN: [KEY]}, FileMemory(files or MemoryFiles()))


def _head(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return sign_checkpoint(ORIGIN, size, root(leaves[:size]), LOG)


def _ask(old: int, new: int, leaves: list[bytes] = LEAVES) -> AddCheckpoint:
    proof = consistency_proof(leaves[:new], old) if old <= new else []
    return AddCheckpoint(old, tuple(proof), _head(new, leaves))


def test_the_requests_of_another_witness_get_the_same_answers() -> None:
    witness = Witness(NAME, PAIR, LOGS, FileMemory(MemoryFiles()))
    for case in load_cases():
        answer = witness.add(parse_add_checkpoint(case["body"].encode()), TIME)
        assert answer.status == expected_status(case), case["body"]
        if answer.status == Status.CONFLICT:
            assert case["asserts"].endswith(f'"{answer.size}\\n"')
        if answer.line:
            said = verify_cosignature(
                parse_add_checkpoint(case["body"].encode()).checkpoint, answer.line, witness.key
            )
            assert said.time == TIME


def test_a_request_encodes_to_the_bytes_that_others_send() -> None:
    for case in load_cases():
        request = parse_add_checkpoint(case["body"].encode())
        assert request.encode() == case["body"].encode() or not request.checkpoint.lines


def test_growth_is_cosigned_and_what_is_remembered_carries_the_line() -> None:
    witness = _witness()
    for old, new in [(0, 3), (3, 3), (3, 17), (17, 40)]:
        answer = witness.add(_ask(old, new), TIME + new)
        assert answer.status == Status.COSIGNED
        note = parse_checkpoint(witness.latest(ORIGIN) or b"")
        assert note == answer.checkpoint
        assert [said.time for said in verify_cosignatures(note, [witness.key])] == [TIME + new]


def test_lines_of_others_are_not_remembered() -> None:
    witness = _witness()
    asked = _ask(0, 3)
    crowd = replace(asked.checkpoint, lines=asked.checkpoint.lines + _other_lines(60))
    assert witness.add(replace(asked, checkpoint=crowd), TIME).status == Status.COSIGNED
    assert len(witness.latest(ORIGIN) or b"") < 400


def _other_lines(count: int) -> tuple[Line, ...]:
    pairs = [KeyPair.from_seed(n.to_bytes(32, "big")) for n in range(count)]
    return tuple(sign_checkpoint("other", 3, bytes(32), pair).lines[0] for pair in pairs)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_ask(7, 7), Status.COSIGNED),
        (_ask(5, 9), Status.CONFLICT),
        (_ask(0, 9), Status.CONFLICT),
        (_ask(0, 3), Status.CONFLICT),
        (_ask(8, 9), Status.CONFLICT),
        (replace(_ask(7, 9), old_size=10), Status.MALFORMED),
        (replace(_ask(7, 9), proof=()), Status.UNPROVEN),
        (replace(_ask(7, 9), proof=(*_ask(7, 9).proof, bytes(32))), Status.UNPROVEN),
        (replace(_ask(7, 7), proof=(bytes(32),)), Status.UNPROVEN),
        (_ask(7, 9, FORK), Status.UNPROVEN),
        (replace(_ask(7, 9), checkpoint=replace(_head(9), origin="other")), Status.UNKNOWN),
        (replace(_ask(7, 9), checkpoint=replace(_head(9), size=10)), Status.FORBIDDEN),
        (replace(_ask(7, 9), checkpoint=replace(_head(9), lines=())), Status.FORBIDDEN),
    ],
)
def test_after_size_seven_each_request_gets_its_status(
    request_: AddCheckpoint, status: Status
) -> None:
    witness = _witness()
    witness.add(_ask(0, 7), TIME)
    before = witness.latest(ORIGIN)
    answer = witness.add(request_, TIME)
    assert answer.status == status
    assert (answer.line is not None) == (status == Status.COSIGNED)
    if status != Status.COSIGNED:
        assert witness.latest(ORIGIN) == before
    if status == Status.CONFLICT:
        assert answer.size == 7
    assert answer.evidence is None


def test_the_empty_tree_has_one_root() -> None:
    assert _witness().add(_ask(0, 0), TIME).status == Status.COSIGNED
    wrong = sign_checkpoint(ORIGIN, 0, bytes(32), LOG)
    assert _witness().add(AddCheckpoint(0, (), wrong), TIME).status == Status.UNPROVEN


@pytest.mark.parametrize("old", [0, 3, 7])
def test_a_second_root_of_one_size_is_evidence_and_freezes_the_log(old: int) -> None:
    witness = _witness()
    witness.add(_ask(0, 7), TIME)
    answer = witness.add(_ask(old, 7, FORK), TIME)
    assert (answer.status, answer.size) == (Status.CONFLICT, 7)
    assert answer.evidence is not None
    assert decode_evidence(answer.evidence.encode()).key == KEY
    assert witness.add(_ask(7, 9), TIME).status == Status.FORBIDDEN
    assert witness.latest(ORIGIN) == _witness_after(7)


def _witness_after(size: int) -> bytes | None:
    witness = _witness()
    witness.add(_ask(0, size), TIME)
    return witness.latest(ORIGIN)


def test_a_log_with_another_key_is_refused_and_not_blamed() -> None:
    """One key per history: nobody signed two roots, so there is nothing to prove."""
    new = KeyPair.from_seed(b"\x09" * 32)
    keys = {ORIGIN: [KEY]}
    witness = Witness(NAME, PAIR, keys, FileMemory(MemoryFiles()))
    witness.add(_ask(0, 7), TIME)
    keys[ORIGIN] = [LogKey(ORIGIN, new.public)]
    fork = sign_checkpoint(ORIGIN, 7, root(FORK[:7]), new)
    answer = witness.add(AddCheckpoint(7, (), fork), TIME)
    assert (answer.status, answer.evidence) == (Status.CONFLICT, None)
    assert witness.frozen == set()


class _Race(FileMemory):
    """Lets another request in between looking and swapping."""

    between: "tuple[Witness, AddCheckpoint] | None" = None
    answer: Answer | None = None

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        """Swap, after the other request was answered."""
        if self.between:
            (witness, request), self.between = self.between, None
            self.answer = witness.add(request, TIME)
        return super().swap(origin, old, new)


@pytest.mark.parametrize(("inner", "size"), [(20, 20), (9, 9), (12, 12)])
def test_of_two_requests_at_once_one_is_told_of_the_other(inner: int, size: int) -> None:
    """The race of the specification: neither order may roll the log back."""
    memory = _Race(MemoryFiles())
    witness = Witness(NAME, PAIR, {ORIGIN: [KEY]}, memory)
    witness.add(_ask(0, 7), TIME)
    memory.between = (witness, _ask(7, inner))
    outer = witness.add(_ask(7, 12), TIME + 1)
    assert memory.answer is not None
    assert memory.answer.status == Status.COSIGNED
    assert (outer.status, outer.size) == (Status.CONFLICT, size)
    assert parse_checkpoint(witness.latest(ORIGIN) or b"").size == size


class _Dies(MemoryFiles):
    """A disk that fails when told, before or after the bytes are there."""

    fails: str = ""

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write, or fail."""
        if self.fails == "before":
            raise OSError(5, "Input/output error")
        super().write(files)
        if self.fails:
            raise OSError(5, "Input/output error")


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_cosigned_that_is_not_durable(when: str) -> None:
    files = _Dies()
    witness = _witness(files)
    witness.add(_ask(0, 7), TIME)
    files.fails = when
    with pytest.raises(TrailError, match="Input/output"):
        witness.add(_ask(7, 9), TIME)
    files.fails = ""
    again = _witness(files)
    assert again.add(_ask(7, 12, FORK), TIME).status in (Status.UNPROVEN, Status.CONFLICT)
    held = parse_checkpoint(again.latest(ORIGIN) or b"").size
    assert again.add(_ask(held, 12), TIME).status == Status.COSIGNED


@pytest.mark.parametrize(
    "note", [b"", b"garbage", sign_checkpoint("x", 1, bytes(32), LOG).encode()]
)
def test_a_damaged_memory_is_an_error_and_not_a_fresh_start(note: bytes) -> None:
    files = MemoryFiles()
    files.write({note_path(ORIGIN): note})
    with pytest.raises(TrailError, match="witness"):
        _witness(files).add(_ask(0, 7), TIME)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 1\n",
        b"old 01\n\n" + _head(3).encode(),
        b"old -1\n\n" + _head(3).encode(),
        b"old 9223372036854775808\n\n" + _head(3).encode(),
        b"Old 0\n\n" + _head(3).encode(),
        b"old 0 \n\n" + _head(3).encode(),
        b"old 0\r\n\n" + _head(3).encode(),
        b"old 0\nAAAA\n\n" + _head(3).encode(),
        b"old 0\n\xff\n\n" + _head(3).encode(),
        b"old 0\n" + _head(3).encode(),
        b"old 0\n\n\n" + _head(3).encode(),
        b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + _head(3).encode(),
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + _head(3).encode(),
        b"old 0\n\n" + b"a" * 100_000,
    ],
)
def test_a_malformed_request_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_add_checkpoint(data)


def test_sixty_three_hashes_are_allowed() -> None:
    asked = AddCheckpoint(0, (bytes(32),) * PROOF_COUNT_MAX, _head(3))
    assert parse_add_checkpoint(asked.encode()) == asked


@given(st.binary(max_size=300))
def test_any_bytes_give_a_request_or_a_decode_error(data: bytes) -> None:
    try:
        request = parse_add_checkpoint(data)
    except DecodeError:
        return
    assert request.encode() == data or not request.checkpoint.lines


class WitnessMachine(RuleBasedStateMachine):
    """Several branches of one log ask one witness, which is restarted now and then.

    The slow model keeps all leaves of what was cosigned last, and compares lists.
    """

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        """Start with one branch of one leaf."""
        self.files = MemoryFiles()
        self.witness = _witness(self.files)
        self.rng = random.Random(seed)
        self.branches: list[list[bytes]] = [[leaf_hash(b"0")]]
        self.cosigned: list[bytes] = []
        self.history: list[list[bytes]] = []
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.is_split = False

    @rule(at=st.integers(0, 9), count=st.integers(1, 6))
    def grow(self, at: int, count: int) -> None:
        """Append to a branch."""
        branch = self.branches[at % len(self.branches)]
        branch += [leaf_hash(self.rng.randbytes(8)) for _ in range(count)]

    @rule(at=st.integers(0, 9), keep=st.integers(0, 30))
    def fork(self, at: int, keep: int) -> None:
        """Start another branch from the beginning of one."""
        old = self.branches[at % len(self.branches)]
        self.branches.append([*old[:keep], leaf_hash(self.rng.randbytes(8))])

    @rule()
    def restart(self) -> None:
        """Everything but the files is forgotten; freezing is the keeper of evidence's to repeat."""
        self.witness = _witness(self.files)
        if self.is_split:
            self.witness.frozen.add(ORIGIN)

    @rule(at=st.integers(0, 9), old=st.integers(0, 40), new=st.integers(0, 40), right=st.booleans())
    def ask(self, at: int, old: int, new: int, right: bool) -> None:
        """Ask for any growth, with the right old size or any."""
        branch = self.branches[at % len(self.branches)]
        new = min(new, len(branch))
        old = len(self.cosigned) if right else old
        proof = consistency_proof(branch[:new], old) if old <= new else []
        asked = AddCheckpoint(old, tuple(proof), _head(new, branch))
        answer = self.witness.add(asked, TIME)
        held, wanted = self.cosigned, branch[:new]
        contradicts = bool(self.history) and len(held) == new and held != wanted
        if self.is_split:
            status = Status.FORBIDDEN
        elif old > new:
            status = Status.MALFORMED
        elif contradicts or old != len(held):
            status = Status.CONFLICT
        else:
            status = Status.COSIGNED if wanted[:old] == held else Status.UNPROVEN
        assert answer.status == status
        if status == Status.COSIGNED:
            self.cosigned = wanted
            self.history.append(wanted)
        is_proof = status == Status.CONFLICT and contradicts
        assert (answer.evidence is not None) == is_proof
        self.is_split |= is_proof

    @invariant()
    def all_that_was_cosigned_is_one_history(self) -> None:
        """Each tree that was cosigned begins with the one before."""
        for older, newer in zip(self.history, self.history[1:], strict=False):
            assert newer[: len(older)] == older


WitnessMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestWitnessMachine = WitnessMachine.TestCase
