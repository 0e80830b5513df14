"""RIPEMD-160 (Dobbertin, Bosselaers, Preneel 1996), which old calendars used inside their trees.

Not every OpenSSL offers it any more, and what a stamp is worth may not depend on the machine. It is
slow (0.09 ms for 64 bytes): who calls it bounds what is hashed.
"""

import struct
from collections.abc import Iterator

_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_PI = tuple((9 * index + 5) % 16 for index in range(16))


def _orders(first: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield which words each of the five rounds takes: the same permutation again and again."""
    for _ in range(5):
        yield first
        first = tuple(_RHO[index] for index in first)


_LEFT = tuple(_orders(tuple(range(16))))
_RIGHT = tuple(_orders(_PI))
_TURNS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
"""By how many bits the sum with a word turns, by round and number of the word."""
_LEFT_ADDS = (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_ADDS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000)
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_MASK = 0xFFFFFFFF


def ripemd160(data: bytes) -> bytes:
    """Return the 20-byte digest."""
    padding = b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    padded = data + padding
    state: tuple[int, ...] = _START
    for at in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, at)
        a, b, c, d, e = _line(state, words, _LEFT, _LEFT_ADDS, reverse=False)
        f, g, h, i, j = _line(state, words, _RIGHT, _RIGHT_ADDS, reverse=True)
        p, q, r, s, t = state
        mixed = (q + c + i, r + d + j, s + e + f, t + a + g, p + b + h)
        state = tuple(word & _MASK for word in mixed)
    return struct.pack("<5I", *state)


def _line(
    state: tuple[int, ...],
    words: tuple[int, ...],
    orders: tuple[tuple[int, ...], ...],
    adds: tuple[int, ...],
    *,
    reverse: bool,
) -> tuple[int, ...]:
    """Return one of the two lines of the compression function after its five rounds."""
    a, b, c, d, e = state
    for number in range(5):
        kind = 4 - number if reverse else number
        turns = _TURNS[number]
        for word in orders[number]:
            if kind == 0:
                mix = b ^ c ^ d
            elif kind == 1:
                mix = (b & c) | (~b & d)
            elif kind == 2:
                mix = (b | ~c) ^ d
            elif kind == 3:
                mix = (b & d) | (c & ~d)
            else:
                mix = b ^ (c | ~d)
            total = (a + (mix & _MASK) + words[word] + adds[number]) & _MASK
            turn = turns[word]
            a, e, d, c, b = (
                e,
                d,
                (c << 10 | c >> 22) & _MASK,
                b,
                ((total << turn | total >> 32 - turn) + e) & _MASK,
            )
    return a, b, c, d, e
