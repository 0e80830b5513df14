"""What detectors of Sybils around a key notice, what they cost, and what gets past them.

Prints tables, one for each part (published, rates, claim, active, believed, size):

    uv run python benchmarks/sybil_detectors.py --draws 40000 --keys 400 --seed 1

Thresholds come from simulated honest networks of one seed, every other number from fresh keys.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from statistics import fmean, median

from qisguard.defenses.kl_detector import KlDetector
from qisguard.lab.calibration import Task, calibrate, null_scores, with_threshold
from qisguard.lab.detection import compare, detection_rates
from qisguard.lab.keyspace import Detector
from qisguard.lab.placement import active_censorship
from qisguard.lab.sizing import Inflation, size_errors
from qisguard.lab.statistics import Interval, wilson

N, K = 25_000, 20
NAMES = ("kl_detector", "scan_count", "distance_scan", "region_count")
COUNTS = (0, 1, 2, 3, 5, 7, 10, 12, 15, 17, 20, 25, 30, 35, 40, 45)


def at(name: str, wanted: float, n: int = N) -> Detector:
    """Return a detector calibrated for a ratio of false alarms."""
    task = Task(name, n, K, wanted)
    return with_threshold(task, calibrate(task))


def published(options: argparse.Namespace) -> Iterator[str]:
    """KL at 0.94: false alarms by size, and by the error of the believed size."""
    for n in (13_000, 16_000, 18_000, 20_000, 22_500, 25_000, 28_000, 32_000):
        rows = detection_rates({"kl": KlDetector()}, n, [0, 45], options.draws, options.seed)
        yield f"n = {n}: false alarms {show(rows[0].rate)}, missed at 45 {show(rows[1].missed)}"
    for error in (0.0, 0.05, 0.1, 0.2, 0.3, 0.35, 0.5):
        task = Task("kl_detector", N, K, 0.025, error, options.seed)
        scores = null_scores(KlDetector(), task, stream=2)
        alarms = wilson(int((scores > 0.94).sum()), len(scores))
        bits = wilson(int((scores > 0.94 * math.log(2)).sum()), len(scores))
        yield (
            f"n = {N}, believed size off by {error:.0%}: false alarms "
            f"over 0.94 nat {show(alarms)}, over 0.94 bit {show(bits)}"
        )
    for believed in (0.5, 0.8, 1.25, 1.5, 2.0):
        told = {"kl": KlDetector()}
        rows = detection_rates(told, N, [0, 45], options.draws, options.seed, believed * N)
        yield f"believed = {believed} n: alarms {show(rows[0].rate)}, missed {show(rows[1].missed)}"


def rates(options: argparse.Namespace) -> Iterator[str]:
    """Ratio of keys flagged, by number of closest Sybils."""
    own = detection_rates({"kl": KlDetector()}, N, [0], 100_000, options.seed)[0].rate.estimate
    for wanted in (own, 0.044):
        detectors = {name: at(name, wanted) for name in NAMES}
        thresholds = ", ".join(f"{n} {d.threshold:.3f}" for n, d in detectors.items())
        yield f"wanted false alarms {wanted:.3%}; thresholds {thresholds}"
        rows = detection_rates(detectors, N, COUNTS, options.draws, options.seed + 1)
        for count in COUNTS:
            found = [show(row.rate) for row in rows if row.sybils == count]
            yield f"  {count:2d} Sybils: " + " | ".join(found)


def claim(options: argparse.Namespace) -> Iterator[str]:
    """Missed by scan / missed by KL, paired: equal false alarms, and a tenth of them."""
    for n in (13_000, 18_000, 25_000, 32_000):
        for wanted in (0.044, 0.0057):
            kl = at("kl_detector", wanted, n)
            for name in ("scan_count", "distance_scan"):
                for share in (1.0, 0.1):
                    other = at(name, wanted * share, n)
                    cells = []
                    for count in (3, 5, 7, 10, 15):
                        seen = compare(other, kl, n, count, options.draws, options.seed + 2)
                        ratio = seen.missed_ratio
                        cells.append(
                            f"{count}: {ratio.estimate:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
                        )
                    yield (
                        f"n = {n}, KL at {wanted:.2%}, {name} at {wanted * share:.3%}: "
                        + ", ".join(cells)
                    )


def active(options: argparse.Namespace) -> Iterator[str]:
    """Places of 20 that the attacker who knows the detector wins, and who else flags it."""
    for wanted in (0.0057, 0.044):
        detectors = {name: at(name, wanted) for name in NAMES}
        for believed in (1.0, 1.25, 2.0):
            fewest = [K] * options.keys
            for name, detector in detectors.items():
                found = active_censorship(
                    detector, N, options.keys, options.seed + 3, 45, detectors, K, believed * N
                )
                fewest = [min(pair) for pair in zip(fewest, found.places, strict=True)]
                flags = ", ".join(f"{n} {found.flagged_by(n).estimate:.3f}" for n in NAMES)
                yield (
                    f"false alarms {wanted:.2%}, believed {believed} n, knows {name}: "
                    f"{found.share.estimate * K:.1f} places "
                    f"({found.share.low * K:.1f}-{found.share.high * K:.1f}), "
                    f"most {max(found.places)}, >= 15 {show(found.at_least(15))}, "
                    f"all {show(found.at_least(K))}, median hashes {median(found.hashes):.2g}; "
                    f"flagged by {flags}"
                )
            yield (
                f"false alarms {wanted:.2%} each, believed {believed} n, has to pass all four: "
                f"at most {fmean(fewest):.1f} places, most {max(fewest)}"
            )


def believed(options: argparse.Namespace) -> Iterator[str]:
    """Ratio of keys flagged when the size is believed too large or too small."""
    detectors = {name: at(name, 0.0057) for name in NAMES}
    for factor in (0.5, 0.8, 1.0, 1.08, 1.25, 2.0, 5.0, 60.0):
        for row in detection_rates(
            detectors, N, [0, 10, 20, 45], options.draws // 4, options.seed + 4, factor * N
        ):
            yield f"believed {factor} n, {row.detector}, {row.sybils} Sybils: {show(row.rate)}"


def size(options: argparse.Namespace) -> Iterator[str]:
    """Estimated / honest nodes of 21 look-ups: 5 %, 50 %, 95 % quantiles."""
    for inflation in (
        Inflation(),
        *(Inflation(foreseen, 45) for foreseen in (1, 2, 4, 8, 10, 11)),
        Inflation(spread=945),
    ):
        for row in size_errors(N, K, 21, inflation, 4 * options.keys, options.seed + 5):
            covers = f", interval covers {show(row.covered)}" if row.covered else ""
            yield (
                f"{inflation.foreseen} of 21 foreseen x {inflation.sybils}, {inflation.spread} "
                f"spread, {row.estimator}: {row.low:.3f} {row.median:.3f} {row.high:.3f}{covers}"
            )


def show(interval: Interval) -> str:
    """Return a ratio with its interval."""
    return f"{interval.estimate:.4f} ({interval.low:.4f}-{interval.high:.4f})"


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "published": published,
    "rates": rates,
    "claim": claim,
    "active": active,
    "believed": believed,
    "size": size,
}


def main() -> None:
    """Run the parts asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--draws", type=int, default=40_000)
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in options.parts or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        for line in PARTS[name](options):
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
