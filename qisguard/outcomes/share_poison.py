"""How little poison turns a comparison of two shares: closed forms.

The arms hold weights a and b, of which s and t are successes, s / a > t / b. With x failures added
to the first and y successes to the second the shares meet at p when

    x(p) = s / p - a,    y(p) = (p b - t) / (1 - p),    t / b <= p <= s / a.

Their sum is convex in p and least at p* = sqrt(s) / (sqrt(s) + sqrt(b - t)), or at the nearer end.
Removed poison, x successes of the first and y failures of the second, costs

    x(p) = (s - p a) / (1 - p),    y(p) = b - t / p,

which is concave: all of it goes into one arm, whichever is cheaper. With an equal *share* of
poison in each arm these become D / (1 + D) added and D inside (Horowitz and Manski 1995); an
attacker is not bound to equal shares, so the joint optimum is the guarantee.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.fragility import FlipRadius, fewest, radius


@dataclass(frozen=True, slots=True)
class Share:
    """One arm: ``yes`` of ``weight`` speaks for it. For a bounded mean, ``yes`` is its sum."""

    yes: float
    weight: float

    @property
    def no(self) -> float:
        """Return the weight that speaks against it, never below 0 by rounding."""
        return max(self.weight - self.yes, 0.0)


def added(better: Share, worse: Share) -> float:
    """Return the least weight of added votes after which the better arm leads no longer."""
    s, a, t, b = better.yes, better.weight, worse.yes, worse.weight
    root = np.sqrt(s) + np.sqrt(worse.no)
    p = float(np.clip(np.sqrt(s) / root if root > 0 else 0.5, t / b, s / a))
    first = max(s / p - a, 0.0) if p > 0 else 0.0
    second = max((p * b - t) / (1 - p), 0.0) if p < 1 else 0.0
    return float(first + second)


def inside(better: Share, worse: Share) -> float:
    """Return the least weight of votes without which the better arm would not lead."""
    s, a, t, b = better.yes, better.weight, worse.yes, worse.weight
    from_better = s if t >= b else (s - a * t / b) / (1 - t / b)
    return max(min(from_better, b - t * a / s), 0.0)


def share_radius(better: Share, worse: Share, search: bool) -> FlipRadius:
    """Return how little weight turns the better share."""
    size, attack = _cheapest(better, worse) if search else (None, "not searched")
    total = better.weight + worse.weight
    return radius(
        total, added(better, worse), inside(better, worse), size, attack, "whatever they say"
    )


def _cheapest(better: Share, worse: Share) -> tuple[int | None, str]:
    """Return the fewest whole votes of weight 1 that reverse the decision, and which."""
    s, a, t, b = better.yes, better.weight, worse.yes, worse.weight
    ratio = np.sqrt(worse.no / s)

    def split(n: Floats) -> Floats:
        """Return (2, k): the best whole numbers for the better arm; the gap is convex in them."""
        best = np.clip((b + n - ratio * a) / (1 + ratio), 0.0, n)
        return np.stack([np.floor(best), np.minimum(np.ceil(best), n)])

    def gaps(n: Floats) -> Floats:
        first = split(n)
        result: Floats = s / (a + first) - (t + n - first) / (b + n - first)
        return result

    size = fewest(lambda n: np.asarray(gaps(n).min(axis=0)), int(4 * (a + b)) + 2)
    if size is None:
        return None, "none found"
    one = np.array([float(size)])
    down = int(split(one)[int(gaps(one)[:, 0].argmin()), 0])
    if down == size:
        return size, "the worst outcome in the better arm"
    if down == 0:
        return size, "the best outcome in the worse arm"
    return size, "the worst outcome in the better arm and the best in the other"
