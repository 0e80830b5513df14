"""Which identities an attacker has in a poll: what the scenario calls its standing."""

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.scenario.tables import AttackTable, PopulationTable, Standing
from qisguard.outcomes.ballots import NEW_CASE, Seats
from qisguard.outcomes.votes import Votes

PATIENT_AGE = 400.0
"""Days for which a patient stranger has been known: more than any ramp of the catalogue."""


def take_seats(
    votes: Votes,
    table: PopulationTable,
    attack: AttackTable,
    budget: int,
    rng: np.random.Generator,
) -> tuple[Seats, NDArray[np.bool_]]:
    """Return the attacker's seats, and (n,) which honest votes it took over.

    ``attack.issuers`` members are compromised, chosen at random; 0 stands for all of them.
    """
    seats, taken = _main_seats(votes, table, attack, budget, rng)
    if attack.strangers:
        seats = _joined(seats, _off_roster(votes, table, "fresh", attack.strangers, rng))
    return seats, taken


def _main_seats(
    votes: Votes,
    table: PopulationTable,
    attack: AttackTable,
    budget: int,
    rng: np.random.Generator,
) -> tuple[Seats, NDArray[np.bool_]]:
    nobody, standing = np.zeros(len(votes), np.bool_), attack.standing
    if standing in ("fresh", "spread", "aged"):
        return _off_roster(votes, table, standing, budget, rng), nobody
    names = np.unique(votes.issuer[votes.enrolled])
    broken = rng.choice(names, min(attack.issuers or len(names), len(names)), replace=False)
    theirs = votes.enrolled & np.isin(votes.issuer, broken)
    if standing == "veterans":
        place = np.flatnonzero(theirs)
        nobody[rng.choice(place, min(budget, len(place)), replace=False)] = True
        return _taken(votes, nobody), nobody
    invented = _enrolled(votes, broken[np.arange(budget) % len(broken)])
    if standing == "enrolled":
        return invented, nobody
    return _joined(_taken(votes, theirs), invented), theirs


def _off_roster(
    votes: Votes, table: PopulationTable, standing: Standing, budget: int, rng: np.random.Generator
) -> Seats:
    ages = {
        "fresh": np.zeros(budget),
        "spread": rng.integers(0, table.days, budget).astype(np.float64),
        "aged": np.full(budget, PATIENT_AGE),
    }
    none = np.full(budget, len(votes.issuers) - 1)
    return _new(none, ages[standing], np.zeros(budget, np.bool_))


def _enrolled(votes: Votes, issuer: NDArray[np.int64]) -> Seats:
    """Return seats for more cases of these issuers, as old as their keys."""
    age = np.zeros(len(votes.issuers))
    age[votes.issuer[votes.enrolled]] = votes.age[votes.enrolled]
    return _new(issuer, age[issuer], np.ones(len(issuer), np.bool_))


def _new(issuer: NDArray[np.int64], age: NDArray[np.float64], enrolled: NDArray[np.bool_]) -> Seats:
    size = len(issuer)
    nothing = np.zeros(size)
    arm = np.full(size, NEW_CASE, np.int64)
    return Seats(issuer, age, enrolled, arm, nothing, np.ones(size, np.bool_))


def _taken(votes: Votes, mask: NDArray[np.bool_]) -> Seats:
    kept = votes.where(mask)
    return Seats(kept.issuer, kept.age, kept.enrolled, kept.arm, kept.value, kept.event)


def _joined(one: Seats, other: Seats) -> Seats:
    return Seats(
        np.concatenate([one.issuer, other.issuer]),
        np.concatenate([one.age, other.age]),
        np.concatenate([one.enrolled, other.enrolled]),
        np.concatenate([one.arm, other.arm]),
        np.concatenate([one.value, other.value]),
        np.concatenate([one.event, other.event]),
    )
