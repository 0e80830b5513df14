"""A network of up to ten million nodes as a few arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qisguard.errors import ScenarioError
from qisguard.lab.model.space import Arrays, Flags, Ids, Places

SIZE_MAX = 100_000_000


@dataclass(frozen=True)
class Network:
    """Nodes by their ids; whom each of them knows follows from ``seed``, see ``tables``.

    ids: (n,) uint64, ascending, all different; the 64 leading bits of 256-bit ids.
    adversary: (n,) bool.
    k: contacts in a bucket, and in a reply.
    siblings: nearest nodes that each node knows, S/Kademlia's eta * s (section 4.2).
    """

    ids: Ids
    adversary: Flags
    seed: int
    k: int
    siblings: int

    @property
    def size(self) -> int:
        """Return how many nodes there are, adversaries included."""
        return self.ids.size

    @cached_property
    def arrays(self) -> Arrays:
        """Return what compiled code takes; ``first``: (2**bits + 1,) where each prefix begins."""
        bits = max(1, (self.size - 1).bit_length())
        cells = (self.ids >> np.uint64(64 - bits)).astype(np.int64)
        first = np.zeros((1 << bits) + 1, np.int64)
        np.cumsum(np.bincount(cells, minlength=1 << bits), out=first[1:])
        colluders = np.flatnonzero(self.adversary).astype(np.int32)
        seed = np.uint64(self.seed)
        return Arrays(
            self.ids,
            first,
            bits,
            self.adversary,
            colluders,
            self.ids[colluders],
            seed,
            self.k,
            self.siblings,
        )


def build(
    size: int,
    adversary_ratio: float,
    seed: int,
    *,
    k: int = 16,
    siblings: int = 80,
    placed: Ids | None = None,
) -> Network:
    """Return ``size`` nodes with uniform ids, of which a random share is the adversary's.

    ``placed``: ids of further adversaries, such as ``regions.crowded`` makes, (a,) uint64.

    Raises:
        ScenarioError: a value is out of range, or a placed id is another node's.
    """
    _check("size", size, 2, SIZE_MAX)
    _check("adversary_ratio", adversary_ratio, 0, 1)
    _check("seed", seed, 0, 2**64 - 1)
    _check("k", k, 1, 256)
    _check("siblings", siblings, 1, 4096)
    rng = np.random.Generator(np.random.PCG64(seed))
    ids = _different_ids(size, rng)
    adversary = np.zeros(size, np.bool_)
    adversary[rng.choice(size, round(adversary_ratio * size), replace=False)] = True
    if placed is not None and placed.size:
        ids, first, counts = np.unique(
            np.concatenate([ids, placed]), return_index=True, return_counts=True
        )
        if counts.max() > 1:
            taken = ids[counts.argmax()]
            raise ScenarioError(f"placed: id {taken:#018x} is there twice, must be nobody else's")
        adversary = np.concatenate([adversary, np.ones(placed.size, np.bool_)])[first]
    return Network(ids, adversary, seed, k, siblings)


@dataclass(frozen=True, slots=True)
class Questions:
    """What is looked up, and by whom.

    targets: (q,) uint64; starts: (q,) int64, positions of honest nodes.
    """

    targets: Ids
    starts: Places


def draw_questions(network: Network, count: int, seed: int) -> Questions:
    """Return ``count`` random targets, each looked up by a random honest node."""
    honest = np.flatnonzero(~network.adversary)
    if not honest.size:
        raise ScenarioError("adversary_ratio: no honest node is left to look anything up")
    rng = np.random.Generator(np.random.PCG64(seed))
    targets = rng.integers(0, 2**64 - 1, count, np.uint64, endpoint=True)
    return Questions(targets, honest[rng.integers(0, honest.size, count)])


def _different_ids(size: int, rng: np.random.Generator) -> Ids:
    """Return ids, ascending, all different; of 10**7, two are equal in one draw of 370,000."""
    ids = np.sort(rng.integers(0, 2**64 - 1, size, np.uint64, endpoint=True))
    while not (ids[1:] != ids[:-1]).all():
        ids = np.unique(ids)
        more = rng.integers(0, 2**64 - 1, size - ids.size, np.uint64, endpoint=True)
        ids = np.sort(np.concatenate([ids, more]))
    return ids


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ScenarioError(f"{name} = {value}, must be {least} to {most}")
