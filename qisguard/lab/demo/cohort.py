"""The patients behind the laboratory's packets: GBSG2, or a synthetic cohort that says so.

GBSG2 is the German Breast Cancer Study Group's trial 2 (Schumacher et al. 1994): 686 women with
node-positive breast cancer, hormonal therapy or not, days to recurrence or death. It comes with
lifelines. The trial's centres are not published with it, so hospitals are dealt by seed.
"""

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

REAL = "GBSG2"
SYNTHETIC = "synthetic"
HORMONE, NO_HORMONE = "hormone", "no-hormone"

PATIENTS = 686


@dataclass(frozen=True, slots=True)
class Patient:
    """One case: treatment, prognosis, and days to the event or to the end of observation."""

    arm: str
    age: int
    menopause: str
    size: int
    grade: str
    nodes: int
    progesterone: int
    oestrogen: int
    time: int
    event: int

    @property
    def values(self) -> dict[str, str | int | float]:
        """Return what the template's key is made of."""
        return {
            "grade": self.grade,
            "menopause": self.menopause,
            "oestrogen-receptor": self.oestrogen,
            "progesterone-receptor": self.progesterone,
        }

    @property
    def feat(self) -> dict[str, int | str]:
        """Return what the packet says beside the key."""
        return {"age": self.age, "size": self.size, "nodes": self.nodes}


@dataclass(frozen=True, slots=True)
class Cohort:
    """Patients, and where they come from: ``label`` is printed beside every figure."""

    label: str
    patients: tuple[Patient, ...]

    def __len__(self) -> int:
        return len(self.patients)

    def __iter__(self) -> Iterator[Patient]:
        return iter(self.patients)

    def with_grade(self, grade: str) -> "Cohort":
        """Return the patients whose tumour has this grade."""
        return Cohort(self.label, tuple(p for p in self.patients if p.grade == grade))


def load_cohort(source: str | None = None) -> Cohort:
    """Return GBSG2, or the synthetic cohort where lifelines is missing.

    ``source`` insists on ``GBSG2`` (ImportError without lifelines) or ``synthetic``.
    """
    if source not in (None, REAL, SYNTHETIC):
        raise ValueError(f"source = {source!r}, must be {REAL} or {SYNTHETIC}")
    if source == SYNTHETIC:
        return _synthetic()
    found = find_spec("lifelines")  # looks, and does not import: that would take two seconds
    if found is None or not found.submodule_search_locations:
        if source == REAL:
            raise ImportError("lifelines is not installed, and GBSG2 comes with it")
        return _synthetic()
    table = Path(found.submodule_search_locations[0], "datasets", "gbsg2.csv")
    with table.open(newline="") as lines:
        return Cohort(REAL, tuple(_patient(row) for row in csv.DictReader(lines)))


def _patient(row: dict[str, str]) -> Patient:
    """Return one row of the table that lifelines carries."""
    return Patient(
        arm=HORMONE if row["horTh"] == "yes" else NO_HORMONE,
        age=int(row["age"]),
        menopause=row["menostat"],
        size=int(row["tsize"]),
        grade=row["tgrade"],
        nodes=int(row["pnodes"]),
        progesterone=int(row["progrec"]),
        oestrogen=int(row["estrec"]),
        time=int(row["time"]),
        event=int(row["cens"]),
    )


def bootstrap(cohort: Cohort, rng: random.Random) -> Cohort:
    """Return as many patients, drawn with replacement: another cohort that might have been."""
    return Cohort(cohort.label, tuple(rng.choices(cohort.patients, k=len(cohort))))


def assign(cohort: Cohort, hospitals: int, rng: random.Random) -> tuple[tuple[Patient, ...], ...]:
    """Return the patients of each of ``hospitals`` hospitals; every hospital has some.

    Sizes follow 1 / (rank + 3): of 20 hospitals the largest has 15 % of the patients and the
    smallest 2 %.
    """
    if not 1 <= hospitals <= len(cohort):
        raise ValueError(f"hospitals = {hospitals}, must be 1 to {len(cohort)} patients")
    shares = [1 / (rank + 3) for rank in range(hospitals)]
    places = [*range(hospitals), *rng.choices(range(hospitals), shares, k=len(cohort) - hospitals)]
    rng.shuffle(places)
    wards: list[list[Patient]] = [[] for _ in range(hospitals)]
    for place, patient in zip(places, cohort.patients, strict=True):
        wards[place].append(patient)
    return tuple(tuple(ward) for ward in wards)


def _synthetic() -> Cohort:
    """Return invented patients with GBSG2's proportions, always the same ones.

    Times are Weibull with shape 1.3; hazards rise with grade and fall with therapy by about as
    much as in the trial. Follow-up ends between 200 and 2600 days.
    """
    rng = random.Random("qisguard synthetic cohort 1")
    scale = {"I": 6500.0, "II": 2600.0, "III": 1700.0}
    patients = []
    for _ in range(PATIENTS):
        grade = rng.choices(("I", "II", "III"), (81, 444, 161))[0]
        arm = rng.choices((HORMONE, NO_HORMONE), (246, 440))[0]
        age = min(80, max(21, round(rng.gauss(53, 10))))
        death = rng.weibullvariate(scale[grade] * (1.35 if arm == HORMONE else 1.0), 1.3)
        end = rng.uniform(200, 2600)
        patients.append(
            Patient(
                arm=arm,
                age=age,
                menopause="Post" if age + rng.gauss(0, 3) > 50 else "Pre",
                size=min(120, max(3, round(rng.lognormvariate(3.3, 0.45)))),
                grade=grade,
                nodes=min(51, 1 + int(rng.expovariate(1 / 4))),
                progesterone=int(rng.lognormvariate(3.5, 1.8)),
                oestrogen=int(rng.lognormvariate(3.5, 1.6)),
                time=max(1, round(min(death, end))),
                event=int(death <= end),
            )
        )
    return Cohort(SYNTHETIC, tuple(patients))
