"""How long to wait for a reply: measured round trips, smoothed as TCP does (RFC 6298).

Each peer has an estimate of its own; a peer without one gets the estimate of all together. A reply
to a request that was sent twice is no sample: nobody knows which of the two it answers (Karn).
"""

from collections import OrderedDict

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId

SAMPLES_MIN = 8
"""Until so many round trips were seen, the common estimate is not used."""


class _Estimate:
    """SRTT and RTTVAR of RFC 6298, section 2, in seconds."""

    __slots__ = ("count", "mean", "spread")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.spread = 0.0

    def add(self, sample: float) -> None:
        if not self.count:
            self.mean, self.spread = sample, sample / 2
        else:
            self.spread += (abs(self.mean - sample) - self.spread) / 4
            self.mean += (sample - self.mean) / 8
        self.count += 1

    @property
    def timeout(self) -> float:
        return self.mean + 4 * self.spread


class RoundTrips:
    """Estimates for the peers heard most recently, and one for all."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._all = _Estimate()
        self._usual = config.request_timeout
        self._peers: OrderedDict[NodeId, _Estimate] = OrderedDict()

    def add(self, peer: NodeId, sample: float) -> None:
        """Take a measured round trip in seconds."""
        self._all.add(sample)
        if self._all.count >= SAMPLES_MIN:
            self._usual = self._bounded(self._all.timeout)
        estimate = self._peers.get(peer)
        if estimate is None:
            estimate = self._peers[peer] = _Estimate()
            if len(self._peers) > self._config.addresses_tracked_max:
                self._peers.popitem(last=False)
        else:
            self._peers.move_to_end(peer)
        estimate.add(sample)

    def timeout(self, peer: NodeId, tries: int) -> float:
        """Return how long to wait after try number ``tries`` (from 1); doubles every second time.

        Where datagrams are lost two quick tries are worth more than a patient one.
        """
        estimate = self._peers.get(peer)
        first = estimate.timeout if estimate else self.usual()
        return self._bounded(first * 2.0 ** ((tries - 1) // 2))

    def usual(self) -> float:
        """Return how long nearly every answer has taken so far, whoever gave it."""
        return self._usual

    def _bounded(self, seconds: float) -> float:
        low, high = self._config.request_timeout_min, self._config.request_timeout
        return high if seconds > high else max(seconds, low)
