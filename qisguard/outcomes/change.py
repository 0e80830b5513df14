"""Has what arrives changed? Scores of votes and sums of the past, compared fairly.

- What is compared is the contrast of the arms, first less second, so whatever moves both alike
  (another hospital, another year) cancels.
- Censored times are scored by martingale residuals: events seen, less events expected from the
  arm's cumulative hazard over the follow-up (Therneau, Grambsch and Fleming 1990). Survivors score
  above 0, so a higher score is a longer life, and follow-up of another length does no harm.
- Patients of one issuer are alike. A variance is inflated by the design effect
  ``1 + (m - 1) ICC`` of its arm (Kish 1965), m being the size of the cluster of a random patient.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from qisguard.identity.roster import NONE
from qisguard.outcomes.archive import Past
from qisguard.outcomes.arrays import distinct, places
from qisguard.outcomes.issuers import kept
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.outcomes.votes import Votes

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

SIGNS: Floats = np.array([1.0, -1.0])
TRIM = 0.30


def scores(votes: Votes, horizon: float) -> Floats:
    """Return (n,) what each vote says: its value, or for times how much longer than expected."""
    if votes.kind != TIME_TO_EVENT:
        return votes.value
    result = np.zeros(len(votes))
    for arm in (0, 1):
        rows = np.flatnonzero(votes.arm == arm)
        time = np.minimum(votes.value[rows], horizon)
        dies = votes.event[rows] & (votes.value[rows] <= horizon)
        times = distinct(time)
        place = places(times, time) - 1
        ends = np.bincount(place, minlength=len(times))
        at_risk = np.cumsum(ends[::-1])[::-1]
        deaths = np.bincount(place, dies, minlength=len(times))
        result[rows] = np.cumsum(deaths / at_risk)[place] - dies
    return result


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference of arms, its variance with the design effect, and how many votes it is of."""

    value: float
    variance: float
    size: int


def correlation(score: Floats, cluster: NDArray[np.int64], floor: float) -> float:
    """Return the intra-cluster correlation of centred scores, at least ``floor``.

    The analysis-of-variance estimate (Donner and Koval 1980), which few clusters make noisy: hence
    the floor. ``cluster`` (n,) holds indices.
    """
    size = np.bincount(cluster)
    present = np.flatnonzero(size)
    mean = np.bincount(cluster, score)[present] / size[present]
    size = size[present]
    groups, total = len(size), len(score)
    if groups < 2 or total <= groups:
        return floor
    between = float(size @ (mean - score.mean()) ** 2) / (groups - 1)
    within = max(float(score @ score) - float(size @ mean**2), 0.0) / (total - groups)
    typical = (total - float((size**2).sum()) / total) / (groups - 1)
    spread = between + (typical - 1) * within
    return max(floor, (between - within) / spread) if spread > 0 else floor


def contrast(votes: Votes, score: Floats, rows: Bools, icc: float) -> Contrast | None:
    """Return the contrast of some votes, or None unless each arm has two."""
    value, variance = 0.0, 0.0
    for arm in (0, 1):
        chosen = np.flatnonzero(rows & (votes.arm == arm))
        if len(chosen) < 2:
            return None
        own = score[chosen]
        sizes = np.bincount(votes.issuer[chosen])
        typical = float((sizes**2).sum()) / len(chosen)
        value += SIGNS[arm] * float(own.mean())
        variance += float(own.var(ddof=1)) / len(chosen) * (1 + (typical - 1) * icc)
    return Contrast(value, variance, int(np.count_nonzero(rows)))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Known outcomes in the order of their days, standardised by an earlier reference.

    ``z`` (d,) is the sum of a day's signed scores in standard deviations: its mean is 0 as long as
    the arms' contrast is that of the reference, its variance ``count`` (d,).
    """

    day: NDArray[np.int64]
    z: Floats
    count: Floats
    reference: float


def arrivals(past: Past, window: int) -> Arrivals | None:
    """Return the days of the last ``window`` known outcomes or fewer; all before is the reference.

    Days are whole. None without outcomes of both arms before, or without any spread. Where sums of
    days of the reference vary more than independent patients would, all are divided by that.
    """
    if not len(past):
        return None
    days, place = np.unique(past.day, return_inverse=True)
    known = np.bincount(place, past.known).astype(np.float64)
    after = np.cumsum(known[::-1])[::-1] <= window
    before = ~after[place]
    size = np.bincount(past.arm[before], past.known[before], 2)
    if not size.all():
        return None
    mean = np.bincount(past.arm[before], past.total[before], 2) / size
    square = np.bincount(past.arm[before], past.squares[before], 2) / size
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    if not (spread > 0).all():
        return None
    arm = past.arm
    signed = SIGNS[arm] * (past.total - past.known * mean[arm]) / spread[arm]
    z = np.bincount(place, signed)
    excess = max(1.0, float((z[~after] ** 2).sum() / known[~after].sum()))
    reference = float(known[~after].sum())
    return Arrivals(days[after], z[after] / np.sqrt(excess), known[after], reference)


def shared_move(past: Past, since: int, direction: float) -> float | None:
    """Return how far the contrast moved at trusted issuers together, None unless they did.

    Trusted are issuers on the roster with known outcomes of both arms before the day ``since`` and
    from it on, at least five of them. Each has one move. The trimmed mean of the moves must be in
    ``direction`` and outside its two-sided 95 % jackknife interval around 0.
    """
    late = (past.day >= since).astype(np.int64)
    cell = (past.issuer * 2 + past.arm) * 2 + late
    cells = 4 * len(past.issuers)
    known = np.bincount(cell, past.known, cells).reshape(-1, 2, 2)
    total = np.bincount(cell, past.total, cells).reshape(-1, 2, 2)
    there = known.all(axis=(1, 2)) & np.array([name != NONE for name in past.issuers], np.bool_)
    known, total = known[there], total[there]
    size = len(known)
    if size < 5:
        return None
    mean = total / known
    moves = SIGNS @ (mean[:, :, 1] - mean[:, :, 0]).T
    weight = 1 / (1 / known).sum(axis=(1, 2))
    weight = np.minimum(weight, np.median(weight))
    weights = np.vstack([weight, np.where(np.eye(size, dtype=bool), 0.0, weight)])
    means = kept(moves, weights, TRIM) @ moves
    error = float(np.sqrt(means[1:].var() * (size - 1)))
    limit = float(stdtrit(max(1, int(size * (1 - 2 * TRIM)) - 1), 0.975))
    return float(means[0]) if means[0] * np.sign(direction) > limit * error else None
