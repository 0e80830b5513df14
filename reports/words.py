"""Numbers as a reader says them: shares, intervals, seeds, durations; and text made safe to print.

Nothing that is measured rounds to a certainty: a share above 0 is never printed as 0 %, one below 1
never as 100 %.
"""

from collections.abc import Iterable, Sequence

DASH = "\u2013"
MINUS = "\u2212"
SPACE = "\u00a0"
"""A space that keeps a number and its unit on one line."""
UNKNOWN = "not measured"
SECONDS_PER_DAY = 86_400
TINY = 1e-9

MEANINGS = {
    "copy": "the same packet fetched again, or signed twice: it is one packet",
    "equivocation": "two bodies under one sequence number; the first in byte order stays",
    "older sequence": "a newer version of the same case is already known",
    "older record": "a newer announcement of the same provider is already known",
    "sequence jump": "the version number rose by more than the bound",
    "tombstone": "the case moved away or never was: it says so itself",
    "expired": "the packet's own expiry day has passed",
    "another network": "signed for a different network",
    "another treatment": "about a treatment that was not asked for",
    "another kind of outcome": "not a time to an event",
    "key full": "the replica's cap for one key is reached",
    "not on the roster": "the sender belongs to no member",
    "silent replica": "a replica did not answer",
    "case not found": "a member published it, but nodes of strangers had displaced its replicas",
    "not delivered": "listed by a replica, but never handed over",
    "packet nobody asked for": "possible injection",
    "packet of another key": "possible injection",
    "disordered listing": "a replica's list broke the order that the protocol demands",
}
"""What a reason for dropping or refusing means."""


def _trimmed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _share(ratio: float) -> str:
    """Return a ratio in percent without its sign."""
    if TINY < ratio < 0.0005:
        return "<" + SPACE + "0.1"
    if 0.9995 <= ratio < 1 - TINY:
        return ">" + SPACE + "99.9"
    return f"{100 * ratio:.1f}" if TINY <= ratio <= 1 - TINY else f"{100 * ratio:.0f}"


def percent(ratio: float | None) -> str:
    """Return ``0.256`` as ``25.6 %``."""
    return UNKNOWN if ratio is None else _share(ratio) + SPACE + "%"


def interval(low: float | None, high: float | None) -> str:
    """Return two ratios as ``0-16.1 %``."""
    if low is None or high is None:
        return UNKNOWN
    return f"{_share(low)}{DASH}{_share(high)}{SPACE}%"


def points(difference: float | None) -> str:
    """Return a difference of two shares as signed percentage points, ``+7.1``."""
    if difference is None:
        return UNKNOWN
    text = f"{abs(100 * difference):.1f}"
    sign = "" if text == "0.0" else "+" if difference > 0 else MINUS
    return sign + text


def points_range(low: float | None, high: float | None) -> str:
    """Return two differences as ``-2.1 to +7.3``."""
    if low is None or high is None:
        return UNKNOWN
    return f"{points(low)} to {points(high)}"


def number(value: float) -> str:
    """Return a number with thousands separated; fractions keep three significant digits."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def days(value: float | None) -> str:
    """Return a time in days, or that it was not reached."""
    return "not reached" if value is None else f"{number(round(value))}{SPACE}days"


def duration(seconds: float) -> str:
    """Return seconds in the unit that a person would use."""
    for size, unit in ((SECONDS_PER_DAY, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{_trimmed(seconds / size, 1)}{SPACE}{unit}"
    if seconds >= 1:
        return f"{_trimmed(seconds, 1)}{SPACE}seconds"
    return f"{number(float(f'{1_000 * seconds:.3g}'))}{SPACE}milliseconds"


def clock(rate: float) -> str:
    """Return how the calendar of a run relates to its seconds."""
    if rate == 1:
        return "1 second of the run is 1 second of the calendar"
    for size, unit in ((SECONDS_PER_DAY, "day"), (3_600, "hour"), (60, "minute")):
        if rate >= size:
            share = _trimmed(rate / size, 2)
            return f"1 second of the run is {share} {unit}{'' if share == '1' else 's'}"
    return f"1 second of the run is {_trimmed(rate, 2)} seconds of the calendar"


def count(size: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{size:,}{SPACE}{one if size == 1 else many or one + 's'}"


def attack(sybils: int, hospitals: int) -> str:
    """Return an attacker's budget in words; nothing is ``no attack``."""
    parts = [count(sybils, "Sybil")] if sybils else []
    if hospitals:
        parts.append(count(hospitals, "compromised hospital"))
    return " and ".join(parts) or "no attack"


def ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers with runs joined: ``1-3, 5``."""
    found: list[list[int]] = []
    for value in sorted(set(numbers)):
        if found and value == found[-1][1] + 1:
            found[-1][1] = value
        else:
            found.append([value, value])
    return ", ".join(str(a) if a == b else f"{a}{DASH}{b}" for a, b in found)


def tag(engine: str, seeds: Sequence[int]) -> str:
    """Return where a number comes from: engine and seeds."""
    if not seeds:
        return engine
    word = "seed" if len(set(seeds)) == 1 else "seeds"
    return f"{engine} \u00b7 {word}{SPACE}{ranges(seeds)}"


def printable(value: object) -> object:
    """Return plain JSON types with every unprintable character spelled out.

    Names in a report may come from strangers: control characters would drive a terminal, and
    direction marks would show a reader another order than the bytes have.
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(
            char
            if char.isprintable() or char in "\u00a0\u202f"
            else char.encode("unicode_escape").decode()
            for char in value
        )
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    return value
