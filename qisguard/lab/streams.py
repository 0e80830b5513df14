"""Streams of outcomes from hospitals, in order of arrival: honest, poisoned, drifting.

Hospitals differ: the chance of a good outcome in each arm is Beta distributed over hospitals with
the wanted intra-cluster correlation, alike in both arms or independently. They also differ in size
and in which arm they choose.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from qisguard.identity.roster import NONE
from qisguard.outcomes.archive import Past
from qisguard.outcomes.packet import BINARY
from qisguard.outcomes.votes import Votes

FIRST_DAY = 18_000
VETERAN_AGE = 1_000.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Who publishes: ``chances`` of a good outcome by arm, ``icc`` of patients of one hospital.

    ``alike``: a good hospital is good in both arms. ``daily`` outcomes arrive a day, in ``batch``es
    of one hospital.
    """

    hospitals: int = 20
    chances: tuple[float, float] = (0.6, 0.5)
    icc: float = 0.05
    alike: bool = True
    daily: int = 10
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """Columns of n outcomes in the order of arrival; issuer ``hospitals`` is ``none``."""

    setting: Setting
    issuer: NDArray[np.int64]
    arm: NDArray[np.int64]
    value: NDArray[np.float64]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the issuers' names."""
        return (*(f"hospital-{place:02d}" for place in range(self.setting.hospitals)), NONE)

    def past(self) -> Past:
        """Return the archived sums of the stream."""
        day = FIRST_DAY + np.arange(len(self.arm)) // self.setting.daily
        issuers = self.setting.hospitals + 1
        name = (day * issuers + self.issuer) * 2 + self.arm
        names, cell = np.unique(name, return_inverse=True)
        known = np.bincount(cell).astype(np.float64)
        total = np.bincount(cell, self.value).astype(np.float64)
        squares = np.bincount(cell, self.value**2).astype(np.float64)
        issuer = names // 2 % issuers
        return Past(self.names, names // 2 // issuers, issuer, names % 2, known, total, squares)

    def votes(self, new: NDArray[np.bool_]) -> Votes:
        """Return the stream as votes, those of (n,) ``new`` from newcomers."""
        rows = np.arange(len(self.arm))
        yes = np.ones(len(self.arm), np.bool_)
        return Votes(
            BINARY,
            self.names,
            self.issuer,
            rows,
            rows,
            self.arm,
            self.value,
            yes,
            FIRST_DAY + rows,
            np.where(new, 5.0, VETERAN_AGE),
            self.issuer < self.setting.hospitals,
            yes,
        )


def honest(setting: Setting, size: int, rng: np.random.Generator) -> Stream:
    """Return a stream in which nothing changes."""
    chance = hospitals(setting, rng)
    weight = 1 / (np.arange(setting.hospitals) + 3)
    share = rng.uniform(0.3, 0.7, setting.hospitals)
    draws = rng.choice(setting.hospitals, -(-size // setting.batch), p=weight / weight.sum())
    issuer = np.repeat(draws, setting.batch)[:size]
    arm = (rng.random(size) < share[issuer]).astype(np.int64)
    value = (rng.random(size) < chance[arm, issuer]).astype(np.float64)
    return Stream(setting, issuer, arm, value)


def hospitals(setting: Setting, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (2, hospitals) chances of a good outcome."""
    rank = rng.random((2, setting.hospitals))
    if setting.alike:
        rank[1] = rank[0]
    mean = np.array(setting.chances)[:, None]
    if setting.icc <= 0:
        return np.repeat(mean, setting.hospitals, axis=1)
    width = 1 / setting.icc - 1
    return np.asarray(betaincinv(mean * width, (1 - mean) * width, rank), np.float64)


def poisoned(
    stream: Stream, start: int, share: float, issuers: tuple[int, ...], rng: np.random.Generator
) -> Stream:
    """Return the stream with a ``share`` of what arrives from ``start`` on turned against arm 0.

    It comes from these issuers, all alike, in equal parts of both arms.
    """
    size = len(stream.arm)
    bad = (np.arange(size) >= start) & (rng.random(size) < share)
    arm = np.where(bad, rng.integers(0, 2, size), stream.arm)
    issuer = np.where(bad, rng.choice(issuers, size), stream.issuer)
    return replace(stream, issuer=issuer, arm=arm, value=np.where(bad, arm, stream.value))


def drifting(stream: Stream, start: int, change: float, rng: np.random.Generator) -> Stream:
    """Return the stream with outcomes of arm 0 worse by ``change`` everywhere from ``start`` on."""
    late = (np.arange(len(stream.arm)) >= start) & (stream.arm == 0)
    lost = late & (rng.random(len(stream.arm)) < change / stream.setting.chances[0])
    return replace(stream, value=np.where(lost, 0.0, stream.value))
