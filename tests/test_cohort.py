import random

import pytest

from qisguard.lab.demo.cohort import (
    HORMONE,
    REAL,
    SYNTHETIC,
    Patient,
    assign,
    bootstrap,
    load_cohort,
)
from qisguard.outcomes.packet import Outcome
from tests.packets import template


def test_gbsg2_has_the_published_patients() -> None:
    cohort = load_cohort(REAL)
    assert (cohort.label, len(cohort)) == (REAL, 686)
    assert cohort.patients[1] == Patient("hormone", 56, "Post", 12, "II", 7, 61, 77, 2018, 1)
    treated = [p for p in cohort.with_grade("II") if p.arm == HORMONE]
    assert (len(treated), len(cohort.with_grade("II"))) == (163, 444)


@pytest.mark.parametrize("source", [REAL, SYNTHETIC])
def test_every_patient_fits_the_template(source: str) -> None:
    shape = template()
    for p in load_cohort(source):
        assert shape.fault(p.arm, Outcome.after(p.time, p.event), p.feat) is None
        assert len(shape.key(p.values)) == 32


def test_without_lifelines_the_cohort_is_synthetic_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qisguard.lab.demo.cohort.find_spec", lambda name: None)
    cohort = load_cohort()
    assert (cohort.label, len(cohort)) == (SYNTHETIC, 686)
    with pytest.raises(ImportError):
        load_cohort(REAL)


def test_the_synthetic_cohort_is_always_the_same_and_favours_therapy() -> None:
    cohort = load_cohort(SYNTHETIC)
    assert cohort == load_cohort(SYNTHETIC)
    early = {
        arm: [
            p.time <= 730 for p in cohort.with_grade("II") if (p.arm == HORMONE) == arm and p.event
        ]
        for arm in (True, False)
    }
    shares = {
        arm: sum(early[arm]) / sum((p.arm == HORMONE) == arm for p in cohort.with_grade("II"))
        for arm in early
    }
    assert 0.05 < shares[True] < shares[False] < 0.4


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="must be GBSG2 or synthetic"):
        load_cohort("elsewhere")


def test_bootstrap_draws_as_many_patients_with_replacement_by_seed() -> None:
    cohort = load_cohort(SYNTHETIC)
    sample = bootstrap(cohort, random.Random(1))
    assert len(sample) == len(cohort)
    assert set(sample) < set(cohort)
    assert sample == bootstrap(cohort, random.Random(1))
    assert sample != bootstrap(cohort, random.Random(2))


def test_every_patient_goes_to_one_hospital_and_none_is_empty() -> None:
    cohort = load_cohort(SYNTHETIC)
    for hospitals in (1, 20, 686):
        wards = assign(cohort, hospitals, random.Random(1))
        assert len(wards) == hospitals
        assert all(wards)
        assert sorted(map(repr, (p for ward in wards for p in ward))) == sorted(map(repr, cohort))


def test_hospitals_differ_in_size_and_repeat_from_their_seed() -> None:
    cohort = load_cohort(SYNTHETIC)
    wards = assign(cohort, 20, random.Random(1))
    assert wards == assign(cohort, 20, random.Random(1))
    assert max(map(len, wards)) > 4 * min(map(len, wards))


def test_more_hospitals_than_patients_are_refused() -> None:
    with pytest.raises(ValueError, match="must be 1 to 686"):
        assign(load_cohort(SYNTHETIC), 687, random.Random(1))
