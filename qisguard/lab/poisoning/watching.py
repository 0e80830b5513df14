"""A reader who asks again and again: after how many packets do detectors notice the poison?

The reader has the archive of what arrived, day by day, as replicas keep it. It asks every
``COARSE`` packets; where a detector reports, the packets before are gone through in steps of
``FINE``. An alarm that came and went between two coarse questions is missed, which detectors that
look back over thousands of packets do not do.
"""

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.poisoning.play import Cast, Player
from qisguard.outcomes.archive import Past
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.outcomes.votes import Votes

COARSE = 250
FINE = 25


def delay(player: Player, polled: Cast, onset: int) -> int | None:
    """Return packets from day ``onset`` until a detector reports, or None if none does."""
    arrived = np.sort(polled.votes.day[polled.votes.day >= onset])
    last = 0
    for asked in range(COARSE, len(arrived) + COARSE, COARSE):
        if not _reports(player, polled, arrived, asked):
            last = asked
            continue
        for finer in range(last + FINE, asked, FINE):
            if _reports(player, polled, arrived, finer):
                return finer
        return min(asked, len(arrived))
    return None


def _reports(player: Player, polled: Cast, arrived: NDArray[np.int64], asked: int) -> bool:
    """Return whether a detector reports when so many packets have arrived, on the day's end."""
    today = arrived[min(asked, len(arrived)) - 1]
    known = polled.votes.day <= today
    so_far = Cast(polled.votes.where(known), polled.poison[known])
    past = past_of(so_far.votes, player.population.table.horizon)
    return bool(player.answer(so_far, past).answer.flags)


def past_of(votes: Votes, horizon: int) -> Past:
    """Return what replicas archived of these votes: sums by day, issuer and arm."""
    value, known = votes.value, np.ones(len(votes), np.bool_)
    if votes.kind == TIME_TO_EVENT:
        dead = votes.event & (votes.value <= horizon)
        value = np.where(dead, 0.0, 1.0)
        known = dead | (votes.value >= horizon)
    day, issuer, arm, value = votes.day[known], votes.issuer[known], votes.arm[known], value[known]
    size = len(votes.issuers)
    names, cell = np.unique((day * size + issuer) * 2 + arm, return_inverse=True)
    counts = np.bincount(cell, minlength=len(names)).astype(np.float64)
    return Past(
        votes.issuers,
        names // 2 // size,
        names // 2 % size,
        names % 2,
        counts,
        np.bincount(cell, value, len(names)).astype(np.float64),
        np.bincount(cell, value**2, len(names)).astype(np.float64),
    )
