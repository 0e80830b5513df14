"""Stateless cookies: whoever shows one received what was sent to its address a moment ago.

A cookie is the time and a keyed hash over address, nonce, ephemeral and time. The key is drawn at
start and never leaves the process, so nothing has to be remembered about a stranger.
"""

import struct
from hashlib import blake2b
from hmac import compare_digest

from qisguard.identity.address import Address, pack_host

_TIME = struct.Struct("!Q")
_PORT = struct.Struct("!H")
CLOCK_STEP = 0.001
"""Cookies carry whole milliseconds, so one may seem to be from that much later, in seconds."""


class Cookies:
    """Makes and checks the cookies of one process."""

    __slots__ = ("_key", "_lifetime")

    def __init__(self, key: bytes, lifetime: float) -> None:
        self._key = key
        self._lifetime = lifetime

    def bake(self, nonce: bytes, ephemeral: bytes, source: Address, now: float) -> bytes:
        """Return the 40-byte cookie for a Hello that came from ``source`` at ``now`` seconds."""
        return self._stamp(nonce, ephemeral, source, _TIME.pack(int(now * 1_000)))

    def refusal(
        self, cookie: bytes, nonce: bytes, ephemeral: bytes, source: Address, now: float
    ) -> str:
        """Return why a cookie proves nothing about ``source``, or an empty string."""
        time = cookie[: _TIME.size]
        age = now - _TIME.unpack(time)[0] / 1_000
        if not -CLOCK_STEP <= age <= self._lifetime:
            return "cookie too old"
        if not compare_digest(cookie, self._stamp(nonce, ephemeral, source, time)):
            return "cookie of another"
        return ""

    def _stamp(self, nonce: bytes, ephemeral: bytes, source: Address, time: bytes) -> bytes:
        where = pack_host(source[0]) + _PORT.pack(source[1])
        return (
            time + blake2b(where + nonce + ephemeral + time, key=self._key, digest_size=32).digest()
        )
