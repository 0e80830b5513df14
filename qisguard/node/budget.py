"""Token buckets: how much of a thing may be done per second, for one or for many."""

from collections import OrderedDict
from collections.abc import Hashable


class Budget:
    """A token bucket that holds at most one second's worth."""

    __slots__ = ("_last", "_rate", "_tokens")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = max(rate, 1.0)
        self._last: float | None = None

    def spend(self, now: float) -> bool:
        """Take one token at ``now`` (seconds); return False when none is left."""
        if self._last is not None and now > self._last:
            self._tokens = min(self._tokens + (now - self._last) * self._rate, max(self._rate, 1.0))
        self._last = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Budgets:
    """One bucket for each of the ``limit`` keys seen last: memory is bounded, whoever comes."""

    __slots__ = ("_buckets", "_limit", "_rate")

    def __init__(self, rate: float, limit: int) -> None:
        self._rate = rate
        self._limit = limit
        self._buckets: OrderedDict[Hashable, Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, key: Hashable, now: float) -> bool:
        """Take one token from the bucket of ``key``."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Budget(self._rate)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.spend(now)
