"""Token buckets: how much of a thing may be done per second, for one or for many.

Many buckets take a bounded amount of memory, so at capacity a newcomer needs the place of another.
It takes over the bucket that was used least recently *as it is*, with what is left in it, so that
forgetting never makes tokens: whoever comes, under however many names, ``limit`` buckets never give
more than ``limit * (burst + rate * seconds)``. And nobody is refused for being new.
"""

from collections import OrderedDict
from collections.abc import Hashable


class Budget:
    """A token bucket; holds at most ``burst`` tokens, by default one second's worth."""

    __slots__ = ("_burst", "_last", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = max(rate if burst is None else burst, 1.0)
        self._tokens = self._burst
        self._last: float | None = None

    def spend(self, now: float, cost: float = 1.0) -> bool:
        """Take ``cost`` tokens at ``now`` (seconds); return False, and take none, when too few."""
        self._refill(now)
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def reserve(self, now: float) -> float:
        """Take a token that may be yet to come; return how long to wait for it, in seconds."""
        self._refill(now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)

    def give_back(self, cost: float = 1.0) -> None:
        """Put back what was spent, or reserved, in vain."""
        self._tokens = min(self._tokens + cost, self._burst)

    def _refill(self, now: float) -> None:
        if self._last is None:
            self._last = now
        elif now > self._last:
            self._tokens = min(self._tokens + (now - self._last) * self._rate, self._burst)
            self._last = now


class Budgets:
    """One bucket for each of the ``limit`` keys seen last; see the module about capacity."""

    __slots__ = ("_buckets", "_burst", "_limit", "_rate")

    def __init__(self, rate: float, limit: int, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = burst
        self._limit = limit
        self._buckets: OrderedDict[Hashable, Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, key: Hashable, now: float, cost: float = 1.0) -> bool:
        """Take ``cost`` tokens from the bucket of ``key``; return False when there are too few."""
        return self._bucket(key).spend(now, cost)

    def reserve(self, key: Hashable, now: float) -> float:
        """Take a token of ``key`` that may be yet to come; return how long to wait, in seconds."""
        return self._bucket(key).reserve(now)

    def give_back(self, key: Hashable) -> None:
        """Put a token back, if ``key`` still has a bucket."""
        if bucket := self._buckets.get(key):
            bucket.give_back()

    def _bucket(self, key: Hashable) -> Budget:
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._buckets.move_to_end(key)
        elif len(self._buckets) < self._limit:
            bucket = self._buckets[key] = Budget(self._rate, self._burst)
        else:
            _, bucket = self._buckets.popitem(last=False)
            self._buckets[key] = bucket
        return bucket
