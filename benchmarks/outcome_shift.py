"""What the detectors of change notice, how soon, and what they cost where nobody lies.

    uv run python benchmarks/outcome_shift.py --draws 2000 --seed 1

A reference of 2,000 outcomes, then a window of 3,000 in which the attack or the drift begins after
1,000. Twenty hospitals, six good outcomes in ten against five, ICC .05, ten outcomes a day.
Attackers say what turns the decision: arm 0 always bad, arm 1 always good.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from qisguard.defenses.cusum import Cusum
from qisguard.defenses.newcomer_shift import NewcomerShift
from qisguard.lab.shift import ShiftTask, calibrate_shift
from qisguard.lab.statistics import Interval, wilson
from qisguard.lab.streams import Setting, Stream, drifting, honest, poisoned
from qisguard.outcomes.answer import State
from qisguard.outcomes.change import arrivals
from qisguard.outcomes.synthesis import Evidence
from qisguard.outcomes.votes import Votes

REFERENCE, WINDOW, START = 2_000, 3_000, 1_000
BEGIN = REFERENCE + START
SETTINGS = {
    "no correlation": Setting(icc=0.0),
    "ICC .05, arms alike": Setting(),
    "ICC .05, arms apart": Setting(alike=False),
    "ICC .05, batches of 10": Setting(batch=10),
    "ICC .10, batches of 30": Setting(icc=0.10, batch=30),
}
Change = Callable[[Stream, np.random.Generator], Stream]


def evidence(votes: Votes, stream: Stream | None) -> Evidence:
    """Return what a detector of change looks at."""
    nothing = np.zeros(0)
    past = stream.past() if stream else None
    told = (votes, np.ones(len(votes)), ("a", "b"), 1, (), nothing, nothing, 0.1, 0.0, 0.2, "", {})
    return Evidence(*told, past)


def show(hits: int, draws: int) -> str:
    """Return a ratio with its interval."""
    seen: Interval = wilson(hits, draws)
    return f"{seen.estimate:.4f} ({seen.low:.4f}-{seen.high:.4f})"


def thresholds(options: argparse.Namespace) -> Iterator[str]:
    """Thresholds for .05 of unchanged windows of 3,000, and the ratio reached on fresh draws."""
    for reference in (1_000, 2_000, 5_000, 20_000):
        found = calibrate_shift(ShiftTask(reference=reference, seed=options.seed))
        used = Cusum().threshold + Cusum().learning / reference
        yield (
            f"reference {reference}: {found.threshold:.2f}, {show(found.alarms, found.draws)}; "
            f"in use {used:.2f}"
        )


def cusum(options: argparse.Namespace) -> Iterator[str]:
    """Windows flagged without any change; with one: detected, delay, called drift."""
    rng = np.random.default_rng(options.seed)
    detector = Cusum()
    for name, setting in SETTINGS.items():
        alarms = 0
        for _ in range(options.draws):
            found = arrivals(honest(setting, REFERENCE + WINDOW, rng).past(), WINDOW)
            alarms += found is not None and detector.change(found)[0] is not None
        yield f"{name}: false alarms {show(alarms, options.draws)}"
    strangers, four = (20,), (2, 5, 8, 11)
    changes: dict[str, Change] = {
        **{
            f"{share:.0%} of arrivals attack, {who}": (
                lambda s, r, share=share, ids=ids: poisoned(s, BEGIN, share, ids, r)
            )
            for share in (0.05, 0.1, 0.2, 0.3)
            for who, ids in (("strangers", strangers), ("four hospitals", four))
        },
        "20% of arrivals attack, every hospital": lambda s, r: poisoned(
            s, BEGIN, 0.2, tuple(range(20)), r
        ),
        "drift by .10 everywhere": lambda s, r: drifting(s, BEGIN, 0.10, r),
        "drift by .20 everywhere": lambda s, r: drifting(s, BEGIN, 0.20, r),
    }
    for name, change in changes.items():
        delays, drifts, early = [], 0, 0
        for _ in range(options.draws // 4):
            stream = change(honest(Setting(), REFERENCE + WINDOW, rng), rng)
            found = arrivals(stream.past(), WINDOW)
            assert found is not None
            paths = [detector.path(sign * found.z, found.count) for sign in (1.0, -1.0)]
            limit = detector.threshold + detector.learning / found.reference
            over = np.flatnonzero(np.maximum(*paths) > limit)
            seen = np.cumsum(found.count)
            if len(over) and seen[over[0]] <= START:
                early += 1
                continue
            delays.append(seen[over[0]] - START if len(over) else np.inf)
            flag = detector.watch(evidence(stream.votes(np.zeros(len(stream.arm), bool)), stream))
            drifts += flag is not None and flag.reason.startswith(State.DRIFT)
        hits = int(np.isfinite(delays).sum())
        low, half, high = np.quantile(delays, [0.05, 0.5, 0.95], method="nearest")
        yield (
            f"{name}: detected {show(hits, len(delays))}, delay {half:.0f} outcomes "
            f"(5 % {low:.0f}, 95 % {high:.0f}), called drift at the end "
            f"{show(drifts, len(delays))}, flagged before it began {early}"
        )


def newcomers(options: argparse.Namespace) -> Iterator[str]:
    """Networks flagged without and with lying newcomers; 20 hospitals of about 25 outcomes."""
    rng = np.random.default_rng(options.seed + 1)
    detector = NewcomerShift()
    for name, setting in SETTINGS.items():
        for hospitals in (0, 1, 5):
            alarms = 0
            for _ in range(options.draws):
                stream = honest(replace(setting, hospitals=25), 500, rng)
                new = stream.issuer < hospitals if hospitals else rng.random(500) < 0.2
                alarms += detector.watch(evidence(stream.votes(new), None)) is not None
            who = f"{hospitals} hospitals are new" if hospitals else "a fifth of all authors is new"
            yield f"{name}, {who}: false alarms {show(alarms, options.draws)}"
    for share in (0.02, 0.05, 0.1, 0.2):
        alarms = 0
        for _ in range(options.draws // 4):
            stream = poisoned(honest(Setting(), 500, rng), 0, share, (20,), rng)
            new = stream.issuer == 20
            alarms += detector.watch(evidence(stream.votes(new), None)) is not None
        yield f"{share:.0%} fresh strangers lie: flagged {show(alarms, options.draws // 4)}"


PARTS = {"thresholds": thresholds, "cusum": cusum, "newcomers": newcomers}


def main() -> None:
    """Run the parts asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in options.parts or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        for line in PARTS[name](options):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
