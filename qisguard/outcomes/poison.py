"""What poison could make of a decision, however it was made: flip radius and bounds.

Pooled votes are judged by their kind. Across issuers poison has two shapes, and both are judged:
issuers that turn, and votes invented within every issuer.
"""

from dataclasses import replace

import numpy as np

from qisguard.outcomes.answer import Contamination
from qisguard.outcomes.arrays import NOTHING
from qisguard.outcomes.cleaned import Cleaner, everywhere
from qisguard.outcomes.estimate import ISSUER_TRIMMED, POOLED, Estimate
from qisguard.outcomes.fragility import FlipRadius, issuer_radius
from qisguard.outcomes.issuers import Differences, Quantiles
from qisguard.outcomes.robust import ACROSS, TRIMMED_MEAN, fewest_turned
from qisguard.outcomes.tally import Tally

CONTAMINATION = (0.05, 0.10)


def fragility(
    estimate: Estimate, told: Tally, found: Differences, across: str, trim: float, search: bool
) -> tuple[FlipRadius | None, tuple[Contamination, ...]]:
    """Return the flip radius of a decision, None without one, and the contamination bounds.

    ``across`` and ``trim`` say how issuers decide; without ``search`` no best attack is sought.
    """
    scale = told.scale
    sign = 1.0 if estimate.difference >= 0 else -1.0
    decided = abs(estimate.difference) >= NOTHING * scale.span
    if across != TRIMMED_MEAN and estimate.method != POOLED:
        return (_searched(found, across, sign, -scale.span, search) if decided else None), ()
    if estimate.method == ISSUER_TRIMMED:
        cleaned = told.cleaner()
        bounds = _issuer_bounds(cleaned, found, trim)
        flip = issuer_radius(found, trim, sign, -scale.span, search) if decided else None
        if flip:
            flip = replace(flip, everywhere=everywhere(cleaned, trim, 0 if sign > 0 else 1))
    else:
        bounds = [told.contaminated(share) for share in CONTAMINATION]
        better = 0 if sign * scale.sign > 0 else 1
        flip = told.radius(better, search) if decided else None
    pairs = zip(CONTAMINATION, bounds, strict=True)
    return flip, tuple(Contamination(share, low, high) for share, (low, high) in pairs)


def _issuer_bounds(cleaned: Cleaner, found: Differences, trim: float) -> list[tuple[float, float]]:
    """Return bounds for both shapes: a share of the issuers, or that share within each of them."""
    turned = Quantiles.of(found.value, found.weight).cleaned(np.array(CONTAMINATION), trim)
    within = [[cleaned(share, arm).floor(trim) for arm in (0, 1)] for share in CONTAMINATION]
    return [
        (min(float(low), first), max(float(high), -second))
        for low, high, (first, second) in zip(*turned, within, strict=True)
    ]


def _searched(
    found: Differences, across: str, sign: float, worst: float, search: bool
) -> FlipRadius:
    """Return a flip radius without a guarantee, for estimators across issuers that have none."""
    size, share = fewest_turned(found, ACROSS[across], sign, worst) if search else (None, None)
    attack = "the issuers with the greatest pull report the worst" if size else "none found"
    return FlipRadius(
        guaranteed=0.0,
        inside=0.0,
        found=share,
        attack=attack if search else "not searched",
        size=size,
        meaning=f"no guarantee is known for the {across} of issuers' differences",
    )
