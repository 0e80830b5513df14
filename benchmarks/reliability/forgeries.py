"""Forge descriptors and packet sequences, and count what is accepted (PROOF R2, in part).

    uv run python benchmarks/reliability/forgeries.py --seed 1 --count 1000000 [--json]

``--count`` descriptors are forged from valid ones: damaged, spliced, signed by another, taken to
another network, given keys of small order, stolen solutions, other encodings, values out of range.
Then as many packets are sent to a node in a real session, as somebody with an identity would: in
another author's name, with an altered or old or far too high sequence number, with the number of
another packet, replayed, taken to another place or network.

A forged descriptor is *accepted* when it opens. A forged packet is accepted when the node says so,
or when what it holds for that author and case changes. Genuine ones are tried all the time as well:
a node that refuses everybody would prove nothing. One seed gives one sequence of forgeries.

Exit codes: 0 nothing forged was accepted, nothing was raised and nothing genuine refused; 1
otherwise.
"""

import argparse
import json
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from forged_descriptors import Descriptors
from forged_packets import Packets

GENUINE_EVERY = 50
"""After so many forgeries something genuine is tried, and must be accepted."""
REPORT_PERIOD = 10.0
"""Seconds between two lines on stderr."""
SHOWN_MAX = 10


class Forger(Protocol):
    """Makes and tries one thing at a time."""

    def genuine(self) -> str | None:
        """Try something genuine; return why it is refused."""

    def forge(self) -> tuple[str, str | None]:
        """Try a forgery; return its kind and, when it was accepted, the bytes."""


@dataclass
class Figures:
    """What was tried; ``failures`` holds the first few with the line that repeats them."""

    what: str
    tried: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    raised: int = 0
    genuine: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Return whether nothing was accepted, nothing raised and nothing genuine refused."""
        return not self.accepted.total() and not self.raised and not self.refused

    def as_dict(self) -> dict[str, Any]:
        """Return the figures; the bound is the rule of three, at 95 %."""
        tried, accepted = self.tried.total(), self.accepted.total()
        return {
            "tried": tried,
            "accepted": accepted,
            "raised": self.raised,
            "upper_bound": 3 / tried if tried and not accepted else None,
            "genuine_tried": self.genuine,
            "genuine_refused": self.refused,
            "seconds": round(self.seconds, 1),
            "per_second": round(tried / self.seconds) if self.seconds else None,
            "kinds": {kind: [self.tried[kind], self.accepted[kind]] for kind in sorted(self.tried)},
            "failures": self.failures,
        }


def run(what: str, forger: Forger, seed: int, count: int) -> Figures:
    """Return what ``count`` forgeries did; an error that is not ours is counted and no refusal."""
    figures = Figures(what)
    start = last = time.perf_counter()
    for index in range(1, count + 1):
        try:
            kind, accepted = forger.forge()
        except Exception as error:
            kind, accepted = "raised", None
            figures.raised += 1
            _note(figures, seed, index, f"raised {error!r}")
        figures.tried[kind] += 1
        if accepted is not None:
            figures.accepted[kind] += 1
            _note(figures, seed, index, f"{kind}: accepted {accepted}")
        if index % GENUINE_EVERY == 0 or index == count:
            figures.genuine += 1
            try:
                refusal = forger.genuine()
            except Exception as error:
                refusal = f"raised {error!r}"
            if refusal is not None:
                figures.refused += 1
                _note(figures, seed, index, f"genuine: refused, {refusal}")
        if (now := time.perf_counter()) - last >= REPORT_PERIOD:
            last = now
            left = (now - start) / index * (count - index)
            print(f"{what}: {index:,} of {count:,}, {left:.0f} s left", file=sys.stderr, flush=True)
    figures.seconds = time.perf_counter() - start
    return figures


def _note(figures: Figures, seed: int, index: int, what: str) -> None:
    if len(figures.failures) < SHOWN_MAX:
        line = f"uv run python benchmarks/reliability/forgeries.py {figures.what}"
        figures.failures.append(f"{what}; replay: {line} --seed {seed} --count {index}")


FORGERS: dict[str, Callable[[random.Random], Forger]] = {
    "descriptors": Descriptors,
    "packets": Packets,
}


def report(figures: Sequence[Figures], seed: int) -> dict[str, Any]:
    """Return the result with everything needed to repeat it."""
    return {
        "bench": "forgeries",
        "seed": seed,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "ok": all(one.holds for one in figures),
        "figures": {one.what: one.as_dict() for one in figures},
    }


def words(figures: Figures) -> str:
    """Return the figures of one kind of thing as people read them."""
    value = figures.as_dict()
    bound = "none" if value["upper_bound"] is None else f"{value['upper_bound']:.1e} at 95 %"
    lines = [
        f"{figures.what}: {value['tried']:,} forged, {value['accepted']:,} accepted, "
        f"{value['raised']:,} raised, upper bound {bound}; "
        f"{value['genuine_tried']:,} genuine, {value['genuine_refused']:,} refused; "
        f"{value['seconds']} s, {value['per_second'] or 0:,} forgeries a second"
    ]
    lines += [
        f"  {tried:>9,} {accepted:>4,}  {kind}"
        for kind, (tried, accepted) in value["kinds"].items()
    ]
    return "\n".join([*lines, *value["failures"]])


def main() -> int:
    """Run; print the result; return 1 when anything forged was accepted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="descriptors, packets; both when not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000, help="forgeries of each")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args()
    if given.count < 1 or not set(given.what) <= set(FORGERS):
        parser.error(f"--count must be at least 1, what of {', '.join(FORGERS)}")
    figures = []
    for what in given.what or FORGERS:
        forger = FORGERS[what](random.Random(f"{what} {given.seed}"))
        figures.append(run(what, forger, given.seed, given.count))
    result = report(figures, given.seed)
    print(json.dumps(result, indent=1) if given.json else "\n".join(map(words, figures)))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
