"""Intervals that let issuers differ: quantiles, score intervals, effective sizes, the jackknife."""

import numpy as np
from scipy.special import stdtrit

from qisguard.outcomes.arrays import Floats


def t_quantile(freedom: float, level: float = 0.95) -> float:
    """Return the two-sided Student quantile; few clusters make it wide, as they should."""
    return float(stdtrit(max(freedom, 1.0), 0.5 + level / 2))


def score_interval(estimate: float, size: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval for a share seen on ``size`` (effective) observations.

    It stays inside [0, 1] and has a width at 0 and 1, where a variance estimate is zero.
    """
    if size <= 0:
        return 0.0, 1.0
    z2 = quantile**2 / size
    centre = (estimate + z2 / 2) / (1 + z2)
    half = quantile * np.sqrt(estimate * (1 - estimate) / size + z2 / (4 * size)) / (1 + z2)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def effective_size(estimate: float, variance: float, kish: float) -> float:
    """Return how many independent patients would give a share's ``variance``: at most ``kish``."""
    if variance <= 0:
        return kish
    return min(kish, estimate * (1 - estimate) / variance)


def jackknife_variance(without: Floats, whole: Floats) -> Floats:
    """Return (...,): the delete-one-issuer variance from (..., m) leave-one-out values.

    Around the ``whole`` (...,) estimate, not around their mean, which makes it a little larger
    (the CV3 of MacKinnon, Nielsen and Webb 2023).
    """
    size = without.shape[-1]
    spread = without - np.asarray(whole)[..., None]
    result: Floats = (spread**2).sum(axis=-1) * (size - 1) / size
    return result


def clusters_worth(parts: Floats) -> Floats:
    """Return (...,): how many equal issuers are worth what (..., m) unequal ones are.

    ``parts`` are what each adds to the variance. Satterthwaite 1946, with independent votes as the
    working model; the effective number of clusters of Carter, Schnepel and Steigerwald 2017.
    """
    result: Floats = parts.sum(axis=-1) ** 2 / (parts**2).sum(axis=-1)
    return result
