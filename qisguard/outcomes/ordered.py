"""One arm's numbers in order: weighted quantiles, per issuer and without each issuer.

A quantile at weight w is an interval: from the first value at which the weight so far reaches w to
the first at which it exceeds w. Both ends are one value unless w falls exactly between two votes.
The median is the middle of that interval, so that it is the same counted from either end.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats, Ints

ROUNDING = 1e-12
"""Share of an arm's weight that a running sum may be off by."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """The n votes of one arm, n >= 1.

    Attributes:
        value: (n,) ascending.
        upto: (n,) weight up to and including each vote.
        weight: (n,) weight of each vote.
        issuer: (n,) index of its issuer.
        groups: how many issuers there are.
    """

    value: Floats
    upto: Floats
    weight: Floats
    issuer: Ints
    groups: int

    @classmethod
    def of(cls, value: Floats, weight: Floats, issuer: Ints, groups: int) -> "Ordered":
        """Return the arm of n votes in any order."""
        order = np.argsort(value)
        weight = weight[order]
        return cls(value[order], np.cumsum(weight), weight, issuer[order], groups)

    @property
    def total(self) -> float:
        """Return all the weight."""
        return float(self.upto[-1])

    def lower(self, weight: Floats) -> Floats:
        """Return (k,): the first value at which the weight so far reaches ``weight``."""
        place = np.searchsorted(self.upto, weight - self.total * ROUNDING, side="left")
        return self.value[np.minimum(place, len(self.value) - 1)]

    def upper(self, weight: Floats) -> Floats:
        """Return (k,): the first value at which the weight so far exceeds ``weight``."""
        place = np.searchsorted(self.upto, weight + self.total * ROUNDING, side="right")
        return self.value[np.minimum(place, len(self.value) - 1)]

    def median(self) -> float:
        """Return the middle of the values with half the weight on each side."""
        half = np.array([self.total / 2])
        return float((self.lower(half) + self.upper(half))[0] / 2)

    def below(self, value: float) -> Floats:
        """Return (g,): each issuer's weight below ``value``, and half of what is equal to it."""
        first = np.searchsorted(self.value, value, side="left")
        last = np.searchsorted(self.value, value, side="right")
        under, upto = (
            np.bincount(self.issuer[:end], self.weight[:end], self.groups) for end in (first, last)
        )
        return np.asarray((under + upto) / 2, np.float64)

    def negated(self) -> "Ordered":
        """Return the arm with every value negated."""
        weight = self.weight[::-1]
        return Ordered(-self.value[::-1], np.cumsum(weight), weight, self.issuer[::-1], self.groups)

    def by_issuer(self) -> "Grouped":
        """Return the votes by issuer, in order within each."""
        small = self.issuer.astype(np.uint16) if self.groups < 1 << 16 else self.issuer
        rank = np.argsort(small, kind="stable")
        size = np.bincount(self.issuer, minlength=self.groups)
        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
        upto = np.concatenate([np.zeros(1), np.cumsum(self.weight[rank])])
        return Grouped(self, rank, start, upto)


@dataclass(frozen=True, slots=True)
class Grouped:
    """The votes of one arm by issuer.

    Attributes:
        arm: all of them in order.
        rank: (n,) places in ``arm``, issuer by issuer, ascending within each.
        start: (g + 1,) where each issuer begins in ``rank``.
        upto: (n + 1,) weight before each vote in the order of ``rank``.
    """

    arm: Ordered
    rank: Ints
    start: Ints
    upto: Floats

    @property
    def weight(self) -> Floats:
        """Return (g,): each issuer's weight."""
        return np.asarray(np.diff(self.upto[self.start]), np.float64)

    def medians(self) -> Floats:
        """Return (g,): each issuer's own median, 0 for those without votes."""
        low, high = self.middles(0.0)
        return np.asarray((low + high) / 2, np.float64)

    def middles(self, poison: float) -> tuple[Floats, Floats]:
        """Return (g,) ends of each issuer's median without a share ``poison`` of its weight.

        Without any poison they are the ends of the median's own interval; 0 without votes.
        """
        first, last = self.start[:-1], self.start[1:] - 1
        begin, end = self.upto[self.start[:-1]], self.upto[self.start[1:]]
        half, reach = (begin + end) / 2, poison * (end - begin) / 2
        slack = self.arm.total * ROUNDING
        low = np.searchsorted(self.upto[1:], half - reach - slack, side="left")
        high = np.searchsorted(self.upto[1:], half + reach + slack, side="right")
        present = last >= first
        ends = (np.clip(place, first, np.maximum(last, first)) for place in (low, high))
        places = (self.rank[np.minimum(place, len(self.rank) - 1)] for place in ends)
        values = (np.where(present, self.arm.value[place], 0.0) for place in places)
        lower, upper = values
        return lower, upper

    def medians_without(self) -> Floats:
        """Return (g,): the arm's median without each issuer; with nobody left, its median.

        One bisection for all issuers over the places of the arm: the weight of the others up to a
        place is the arm's less the issuer's own.
        """
        half = (self.arm.total - self.weight) / 2
        slack = self.arm.total * ROUNDING
        low, high = (
            self._first(half - slack, strict=False),
            self._first(half + slack, strict=True),
        )
        middle = (self.arm.value[low] + self.arm.value[high]) / 2
        return np.where(half > slack, middle, self.arm.median())

    def _first(self, wanted: Floats, strict: bool) -> Ints:
        """Return (g,): the first place where the others' weight reaches or exceeds ``wanted``."""
        size, groups = len(self.rank), self.arm.groups
        issuer = np.repeat(np.arange(groups), np.diff(self.start))
        key = issuer * (size + 1) + self.rank
        every = np.arange(groups) * (size + 1)
        low, high = np.full(groups, -1), np.full(groups, size - 1)
        while (high - low > 1).any():
            middle = np.maximum((low + high) // 2, 0)  # those that have ended stay where they are
            place = np.searchsorted(key, every + middle, side="right")
            own = self.upto[place] - self.upto[self.start[:-1]]
            others = self.arm.upto[middle] - own
            enough = others > wanted if strict else others >= wanted
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high
