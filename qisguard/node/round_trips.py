"""How long to wait for a reply: measured round trips, smoothed as TCP does (RFC 6298).

Each peer has an estimate of its own; a peer without one gets the estimate of all together. A reply
to a request that was sent twice is no sample: nobody knows which of the two it answers (Karn).

And how long to wait at all: how many answered requests took more than one try says how often a try
to a living peer fails. When so many were in vain as chance explains once in a thousand times,
look-ups go on without the peer. Where a third of the datagrams is lost that is never before the
last try.
"""

import math
from collections import OrderedDict

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId

SAMPLES_MIN = 8
"""Until so many round trips were seen, the common estimate is not used."""
DOUBT = 8
"""So many requests, half of them repeated, are imagined before the first one is answered."""
ANSWERS_MAX = 128
"""So many of the latest answered requests say how often a try fails."""
CHANCE = 0.001
"""How likely it may be that a look-up gives up a living peer, as far as losses are even."""
TRIES_MIN = 3
RENEWAL_TRIES = 4
"""After so many tries, or half of all, a new session is sought: the peer may have restarted."""
STRANGER_FACTOR = 2.0
"""A peer without a session has to answer twice as often: handshake and request."""


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
        self._answers = DOUBT
        self._repeated_ratio = 0.5
        self._tries_waited_for = config.request_tries
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

    def answered(self, tries: int) -> None:
        """Take note that a request was answered after so many tries."""
        self._answers = min(self._answers + 1, ANSWERS_MAX)
        self._repeated_ratio += ((tries > 1) - self._repeated_ratio) / self._answers
        self._tries_waited_for = self._tries_until_doubt()

    @property
    def is_lossy(self) -> bool:
        """Return whether so much is lost that all tries may be in vain, as far as was seen."""
        is_known = self._answers >= 2 * DOUBT
        return is_known and self._tries_waited_for >= self._config.request_tries

    def patience(self, is_stranger: bool) -> float | None:
        """Return how long a look-up waits for an answer, or None for as long as it is sought.

        A session may have died with a restart of the peer, so there must be time for a new one.
        """
        tries = self._tries_waited_for
        if tries >= self._config.request_tries:
            return None
        if not is_stranger:
            tries = max(tries, RENEWAL_TRIES + 1)
        seconds = sum(self._after(self._usual, count + 1) for count in range(tries))
        seconds *= STRANGER_FACTOR if is_stranger else 1.0
        return max(seconds, self._config.request_timeout)

    def timeout(self, peer: NodeId, tries: int) -> float:
        """Return how long to wait after try number ``tries`` (from 1); doubles every second time.

        Where datagrams are lost two quick tries are worth more than a patient one.
        """
        estimate = self._peers.get(peer)
        first = estimate.timeout if estimate else self.usual()
        return self._after(first, tries)

    def usual(self) -> float:
        """Return how long nearly every answer has taken so far, whoever gave it."""
        return self._usual

    def _tries_until_doubt(self) -> int:
        """Return after how many tries chance does not explain the silence of a living peer.

        A try fails as often as requests were repeated, and one standard error more. How many times
        they were repeated is no sample: a peer that restarted takes many tries, lossless as it is.
        """
        ratio = self._repeated_ratio
        failing = ratio + math.sqrt(ratio * (1.0 - ratio) / self._answers)
        tries = TRIES_MIN
        while failing**tries > CHANCE and tries < self._config.request_tries:
            tries += 1
        return tries

    def _after(self, first: float, tries: int) -> float:
        return self._bounded(first * 2.0 ** ((tries - 1) // 2))

    def _bounded(self, seconds: float) -> float:
        low, high = self._config.request_timeout_min, self._config.request_timeout
        return high if seconds > high else max(seconds, low)
