"""The network file: what everybody in one network agrees on, signed by its authority."""

from hashlib import sha256

import msgspec

from qisguard.errors import IdentityError
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import (
    KEY_SIZE,
    NETWORK_TAG,
    KeyPair,
    check_enrollable,
    from_text,
    to_text,
)
from qisguard.identity.puzzle import (
    MEMORY_DEFAULT,
    MEMORY_MAX,
    MEMORY_MIN,
    PASSES_DEFAULT,
    PASSES_MAX,
    PASSES_MIN,
    Argon2id,
    PuzzleForm,
    check_dynamic,
    check_static,
)
from qisguard.identity.signed import seal, unseal

EPOCH_SIZE = 32
PUZZLE_BITS_MAX = 64
NAME_SIZE_MAX = 64


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``memory`` and ``passes`` are there for Argon2id alone, so that each network has one form."""

    v: int
    name: str
    authority: str
    epoch: str
    c1: int
    c2: int
    puzzle: str
    memory: int | None = None
    passes: int | None = None


class Network(msgspec.Struct, frozen=True):
    """Name, authority key, epoch value and puzzles of one network.

    ``c1`` and ``c2`` are bits; ``memory`` (KiB) and ``passes`` count for Argon2id only.
    """

    name: str
    authority: bytes
    epoch: bytes
    c1: int
    c2: int
    puzzle: PuzzleForm = PuzzleForm.SHA256
    memory: int = MEMORY_DEFAULT
    passes: int = PASSES_DEFAULT

    @property
    def id(self) -> bytes:
        """Return the 32-byte network id, which every signature and session is bound to."""
        return sha256(b"qisguard-net-v1" + self.authority + self.name.encode()).digest()

    @property
    def cost(self) -> Argon2id | None:
        """Return what one try at the dynamic puzzle costs, or None when that is one SHA-256."""
        is_dear = self.puzzle is PuzzleForm.ARGON2ID
        return Argon2id(self.memory, self.passes) if is_dear else None

    def check_dynamic(self, identifier: NodeId, solution: bytes) -> None:
        """Raise IdentityError unless an identity solved the dynamic puzzle of this epoch."""
        check_dynamic(self.id, self.epoch, self.c2, identifier, solution, self.cost)

    def check_puzzles(self, identifier: NodeId, solution: bytes) -> None:
        """Raise IdentityError unless an identity solved both puzzles of this network."""
        check_static(self.c1, identifier)
        self.check_dynamic(identifier, solution)


def seal_network(network: Network, authority: KeyPair) -> bytes:
    """Return the signed network file."""
    cost = network.cost
    body = _Body(
        v=1,
        name=network.name,
        authority=to_text(network.authority),
        epoch=to_text(network.epoch),
        c1=network.c1,
        c2=network.c2,
        puzzle=network.puzzle.value,
        memory=cost.memory if cost else None,
        passes=cost.passes if cost else None,
    )
    return seal(NETWORK_TAG, body, authority)


def open_network(data: bytes, authority: bytes) -> Network:
    """Return the network that ``authority`` signed.

    Raises:
        DecodeError: not a signed file of this shape, in its deterministic encoding.
        ProofError: the signature is not that of ``authority``.
        IdentityError: another version or authority, or a value out of its range.
    """
    body = unseal(NETWORK_TAG, data, authority, _Body)
    if body.v != 1:
        raise IdentityError(f"network file: v = {body.v}, this version reads 1")
    if from_text(body.authority, KEY_SIZE) != authority:
        raise IdentityError("network file: names another authority than the key that signed it")
    check_enrollable(authority)
    _check_name(body.name)
    for field, bits in (("c1", body.c1), ("c2", body.c2)):
        _check_range(field, bits, 0, PUZZLE_BITS_MAX)
    if body.puzzle not in list(PuzzleForm):
        forms = ", ".join(PuzzleForm)
        raise IdentityError(f"network file: puzzle = {body.puzzle[:40]!r}, must be one of {forms}")
    epoch = from_text(body.epoch, EPOCH_SIZE)
    network = Network(body.name, authority, epoch, body.c1, body.c2, PuzzleForm(body.puzzle))
    if network.cost is None:
        if body.memory is not None or body.passes is not None:
            raise IdentityError(
                f"network file: memory = {body.memory} and passes = {body.passes}, "
                f"must be left out with puzzle = {body.puzzle!r}"
            )
        return network
    if body.memory is None or body.passes is None:
        raise IdentityError(f"network file: puzzle = {body.puzzle!r} wants memory and passes")
    _check_range("memory", body.memory, MEMORY_MIN, MEMORY_MAX)
    _check_range("passes", body.passes, PASSES_MIN, PASSES_MAX)
    return msgspec.structs.replace(network, memory=body.memory, passes=body.passes)


def _check_name(name: str) -> None:
    """Raise IdentityError unless a name can be shown on any terminal."""
    is_plain = name.isascii() and name.isprintable()
    if not is_plain or not 1 <= len(name) <= NAME_SIZE_MAX:
        raise IdentityError(
            f"network file: name = {name[:NAME_SIZE_MAX]!r}, must be 1 to {NAME_SIZE_MAX} "
            "printable ASCII characters"
        )


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise IdentityError(f"network file: {field} = {value}, must be {low} to {high}")
