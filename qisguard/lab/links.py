"""What happens to a datagram between two addresses: delay, loss, copies, damage, cuts.

- Everything is drawn from the seed, from one stream for each kind of fault, and a stream is drawn
  from once for each datagram or not at all: a ratio set to 0 leaves every other draw as it was.
- Loss comes first, then damage, then the copy: a lost datagram has no copy, and a copy carries the
  damage of its original.
- Nothing here limits rates; every delay is bounded.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from statistics import NormalDist
from typing import Any

from qisguard.errors import ScenarioError
from qisguard.fill import is_number, nearest, show

LATENCY_MAX = 10.0
TAIL_MAX = 10.0
"""A lognormal delay is at most this times the upper latency."""
JITTER = 0.1
"""On the plane the delay of one datagram differs from its pair's by at most this ratio."""
COPY_DELAY_MAX = 0.1
"""A copy arrives at most this many seconds after its original."""
FLIPS_MAX = 8
CUTS_MAX = 100

_QUANTILE_95 = NormalDist().inv_cdf(0.95)
_SMALLEST = 2.0**-54
_DIAGONAL = math.sqrt(2.0)


class Latency(StrEnum):
    """How one-way delays are drawn from ``latency = [low, high]``, in seconds.

    ``uniform``: between the two. ``lognormal``: they are the 5th and the 95th percentile.
    ``plane``: every node has a place in a square; low is the delay of neighbours, high that of
    opposite corners, so that pairs differ for good and detours take longer, but for the jitter.
    """

    UNIFORM = "uniform"
    LOGNORMAL = "lognormal"
    PLANE = "plane"


class Direction(StrEnum):
    """Which datagrams a cut stops: both ways, those from the inside out, or those coming in."""

    BOTH = "both"
    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Cut:
    """From ``start`` until ``end`` (engine seconds) nothing passes between inside and outside.

    Inside are the nodes with the numbers ``members``; without those ``ratio`` of all nodes, spread
    evenly over the order in which they came: .5 gives halves, .1 an island.
    """

    start: float
    end: float
    ratio: float = 0.5
    direction: Direction = Direction.BOTH
    members: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ScenarioError(
                f"start = {self.start}, end = {self.end}, must be seconds, 0 <= start < end"
            )
        if not 0 < self.ratio < 1:
            raise ScenarioError(f"ratio = {self.ratio}, must be above 0 and below 1")

    def holds(self, number: int) -> bool:
        """Return whether node ``number`` is inside."""
        if self.members is not None:
            return number in self.members
        return math.floor((number + 1) * self.ratio) > math.floor(number * self.ratio)

    def stops(self, source: int, to: int, now: float) -> bool:
        """Return whether a datagram sent at ``now`` is stopped."""
        if not self.start <= now < self.end:
            return False
        inside = self.holds(source)
        if inside == self.holds(to):
            return False
        return self.direction is Direction.BOTH or inside == (self.direction is Direction.OUT)


@dataclass(frozen=True, slots=True)
class Links:
    """The network between nodes. Ratios are shares of all datagrams, in [0, 1).

    ``reorder_ratio`` of them arrive up to ``reorder_delay`` seconds later than they would have.
    A damaged datagram has 1 to 8 flipped bits, a truncated one lost its end.
    """

    latency: tuple[float, float] = (0.005, 0.025)
    latency_model: Latency = Latency.UNIFORM
    loss_ratio: float = 0.0
    duplicate_ratio: float = 0.0
    reorder_ratio: float = 0.0
    reorder_delay: float = 0.1
    corrupt_ratio: float = 0.0
    truncate_ratio: float = 0.0
    cuts: tuple[Cut, ...] = ()

    def __post_init__(self) -> None:
        low, high = self.latency
        if not 0 < low <= high <= LATENCY_MAX:
            raise ScenarioError(
                f"latency = {show([low, high])}, "
                f"must be [low, high] seconds, 0 < low <= high <= {LATENCY_MAX:g}"
            )
        for name in _RATIOS:
            if not 0 <= getattr(self, name) < 1:
                raise ScenarioError(f"{name} = {getattr(self, name)}, must be 0 to below 1")
        if not 0 <= self.reorder_delay <= LATENCY_MAX:
            raise ScenarioError(
                f"reorder_delay = {self.reorder_delay}, must be 0 to {LATENCY_MAX:g} seconds"
            )
        if len(self.cuts) > CUTS_MAX:
            raise ScenarioError(f"cuts: {len(self.cuts)}, must be at most {CUTS_MAX}")


_RATIOS = ("loss_ratio", "duplicate_ratio", "reorder_ratio", "corrupt_ratio", "truncate_ratio")
_NUMBERS = (*_RATIOS, "reorder_delay")


def read_links(table: Mapping[str, Any], place: str) -> Links:
    """Return the links that a TOML table describes; errors begin with ``place`` and the key."""
    given: dict[str, Any] = {}
    known = [field.name for field in fields(Links)]
    for key, value in table.items():
        if key not in known:
            raise ScenarioError(f"{place}: unknown key {key!r}{nearest(key, known)}")
        if key == "latency":
            if not isinstance(value, list) or len(value) != 2 or not all(map(is_number, value)):
                raise ScenarioError(
                    f"{place}.latency = {show(value)}, "
                    f"must be [low, high] seconds, 0 < low <= high <= {LATENCY_MAX:g}"
                )
            given[key] = (float(value[0]), float(value[1]))
        elif key == "latency_model":
            given[key] = _member(Latency, value, f"{place}.{key}")
        elif key == "cuts":
            if not isinstance(value, list):
                raise ScenarioError(f"{place}.cuts = {show(value)}, must be a list of tables")
            given[key] = tuple(_cut(cut, f"{place}.cuts[{n}]") for n, cut in enumerate(value))
        else:
            given[key] = _number(value, f"{place}.{key}")
    try:
        return Links(**given)
    except ScenarioError as error:
        raise ScenarioError(f"{place}.{error}") from None


def _cut(table: object, place: str) -> Cut:
    known = ("start", "end", "ratio", "direction")
    if not isinstance(table, dict) or not {"start", "end"} <= set(table):
        raise ScenarioError(f"{place} = {show(table)}, must be a table with start and end, seconds")
    given: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ScenarioError(f"{place}: unknown key {key!r}{nearest(key, known)}")
        if key == "direction":
            given[key] = _member(Direction, value, f"{place}.{key}")
        else:
            given[key] = _number(value, f"{place}.{key}")
    try:
        return Cut(**given)
    except ScenarioError as error:
        raise ScenarioError(f"{place}.{error}") from None


def _number(value: object, place: str) -> float:
    """Return a number that a float can hold; its range is checked by the class it is for."""
    if is_number(value):
        try:
            return float(value)  # type: ignore[arg-type] # a number
        except OverflowError:
            pass
    ranges = {"start": "seconds from 0", "end": "seconds after start", "ratio": "above 0, below 1"}
    ranges["reorder_delay"] = f"0 to {LATENCY_MAX:g} seconds"
    allowed = ranges.get(place.rpartition(".")[2], "0 to below 1")
    raise ScenarioError(f"{place} = {show(value)}, must be {allowed}")


def _member(kind: type[StrEnum], value: object, place: str) -> StrEnum:
    if value not in list(kind):
        raise ScenarioError(f"{place} = {show(value)}, must be one of {', '.join(kind)}")
    return kind(str(value))


class Traffic:
    """Decides the fate of one datagram after the other; nodes are known by number.

    ``cuts`` may grow while the network runs; ``counts`` says what happened to how many datagrams.
    """

    def __init__(self, seed: int, links: Links) -> None:
        self.counts: Counter[str] = Counter()
        self._seed = seed
        self._links = links
        self._low, self._high = links.latency
        self._span = self._high - self._low
        self._middle = math.sqrt(self._low * self._high)
        self._sigma = math.log(self._high / self._low) / (2 * _QUANTILE_95)
        self._places: dict[int, tuple[float, float]] = {}
        self.cuts = list(links.cuts)
        self._is_uniform = links.latency_model is Latency.UNIFORM
        self._is_clean = not any(getattr(links, name) for name in _RATIOS[1:])
        self._network = random.Random(f"network {seed}").random  # loss and delay: always both
        streams = {name: random.Random(f"{name} {seed}") for name in _RATIOS[1:]}
        self._copies = streams["duplicate_ratio"]
        self._late = streams["reorder_ratio"]
        self._flips = streams["corrupt_ratio"]
        self._ends = streams["truncate_ratio"]

    def fate(self, data: bytes, source: int, to: int, now: float) -> list[tuple[float, bytes]]:
        """Return when and as which bytes a datagram sent at ``now`` arrives: never, once, twice."""
        lost = self._network() < self._links.loss_ratio
        draw = self._network()
        if self._is_uniform:
            arrival = now + self._low + self._span * draw
        else:
            arrival = now + self._delay(source, to, draw)
        if lost:
            self.counts["lost"] += 1
        fates = [] if lost else [(arrival, data)]
        if not self._is_clean:
            fates = self._disturb(arrival, data, lost)
        if fates and self.cuts and self.is_cut(source, to, now):
            self.counts["cut"] += 1
            return []
        return fates

    def is_cut(self, source: int, to: int, now: float) -> bool:
        """Return whether a datagram sent at ``now`` would be stopped by a cut."""
        return any(cut.stops(source, to, now) for cut in self.cuts)

    def delay(self, source: int, to: int) -> float:
        """Return the typical one-way delay of a pair, in seconds: the middle of its draws."""
        return self._delay(source, to, 0.5)

    def _delay(self, source: int, to: int, draw: float) -> float:
        if self._links.latency_model is Latency.UNIFORM:
            return self._low + self._span * draw
        if self._links.latency_model is Latency.LOGNORMAL:
            normal = NormalDist().inv_cdf(max(draw, _SMALLEST))
            return min(self._middle * math.exp(self._sigma * normal), TAIL_MAX * self._high)
        distance = math.dist(self._place(source), self._place(to)) / _DIAGONAL
        delay = self._low + self._span * distance
        return delay * (1.0 - JITTER + 2.0 * JITTER * draw)

    def _place(self, number: int) -> tuple[float, float]:
        """Return where in the unit square a node is: it follows from seed and number alone."""
        place = self._places.get(number)
        if place is None:
            rng = random.Random(f"place {self._seed} {number}")
            place = self._places[number] = (rng.random(), rng.random())
        return place

    def _disturb(self, arrival: float, data: bytes, lost: bool) -> list[tuple[float, bytes]]:
        """Delay, damage and copy; each stream is drawn from for lost datagrams just the same."""
        links = self._links
        if links.reorder_ratio:
            late, extra = self._late.random(), self._late.random()
            if late < links.reorder_ratio:
                arrival += links.reorder_delay * extra
                self.counts["reordered"] += not lost
        if links.corrupt_ratio and self._flips.random() < links.corrupt_ratio:
            data = flip(data, self._flips)
            self.counts["corrupted"] += not lost
        if links.truncate_ratio and self._ends.random() < links.truncate_ratio:
            data = data[: int(len(data) * self._ends.random())]
            self.counts["truncated"] += not lost
        fates = [(arrival, data)]
        if links.duplicate_ratio:
            again, extra = self._copies.random(), self._copies.random()
            if again < links.duplicate_ratio:
                fates.append((arrival + COPY_DELAY_MAX * extra, data))
                self.counts["duplicated"] += not lost
        return [] if lost else fates


def flip(data: bytes, rng: random.Random) -> bytes:
    """Return ``data`` with 1 to 8 of its bits flipped, no bit twice."""
    damaged = bytearray(data)
    bits = range(8 * len(data))
    for bit in rng.sample(bits, min(rng.randint(1, FLIPS_MAX), len(bits))):
        damaged[bit >> 3] ^= 1 << (bit & 7)
    return bytes(damaged)
