import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.lab.demo.results import Rate, Report
from qisguard.reports import sentences, summary, words
from qisguard.reports.reading import Budget, read
from tests.report_sample import sample, wilson


@pytest.fixture(scope="module")
def report() -> Report:
    return sample()


def rate(network: str, sybils: int, hospitals: int, flips: int, undecided: int = 0) -> Rate:
    low, high = wilson(flips, 20)
    name = f"{sybils} and {hospitals}"
    seeds = list(range(1, 21))
    return Rate(
        "virtual", network, name, sybils, hospitals, seeds, flips, undecided, flips / 20, low, high
    )


def with_rates(report: Report, *rates: Rate) -> Report:
    return msgspec.structs.replace(report, rows=[], rates=list(rates))


def test_the_summary_says_what_happened_with_intervals_and_what_to_type(report: Report) -> None:
    text = summary(report, [("xdg-open out/report.html", "read the report")])
    lines = text.splitlines()
    assert lines[0].startswith(
        "64 invented identities (Sybils) turned the answer round in 20 of 20"
    )
    assert "  With defences: 0 of 20 (0 %, 0\u201316.1 %)" in lines
    assert "The defences fail at 4 compromised hospitals" in text
    assert "every honest trail: every required check was done and holds" in text
    assert lines[-3] == "Next"
    assert lines[-2].startswith("  xdg-open out/report.html  # ")
    assert lines[-1].startswith("  qisguard demo --seed 1 ")
    assert "\u00a0" not in text
    assert max(map(len, lines[1:])) <= 100


def test_names_cannot_drive_the_terminal(report: Report) -> None:
    text = summary(msgspec.structs.replace(report, question="\x1b]0;owned\x07?"))
    assert "\x1b" not in text
    assert "\\x1b]0;owned\\x07?" in text


def test_a_summary_of_nothing_claims_nothing(report: Report) -> None:
    nothing = msgspec.structs.replace(
        report, rows=[], rates=[], curves=[], truth=[], audits=[], headline="", command=""
    )
    assert summary(nothing).startswith("No attack was measured.")


def test_a_sentence_that_the_report_brings_is_the_headline(report: Report) -> None:
    told = msgspec.structs.replace(report, headline="Nothing moved, in any run.")
    assert summary(told).startswith("Nothing moved, in any run.\n")
    assert read(told).headline == Budget(64, 0)  # the step of that name


def test_the_headline_step_falls_back_to_what_curves_were_kept_for(report: Report) -> None:
    rates = [msgspec.structs.replace(r, step=f"{r.sybils}/{r.hospitals}") for r in report.rates]
    curves = [msgspec.structs.replace(c, step="32/0") for c in report.curves]
    told = msgspec.structs.replace(report, rows=[], rates=rates, curves=curves, headline="")
    assert read(told).headline == Budget(32, 0)
    assert read(msgspec.structs.replace(told, curves=[])).headline == Budget(256, 0)


def test_networks_of_other_names_are_compared_first_with_last(report: Report) -> None:
    rates = [rate(name, 64, 0, flips) for name, flips in (("bare", 20), ("mid", 9), ("full", 0))]
    reading = read(with_rates(report, *rates))
    assert (reading.undefended, reading.defended) == ("bare", "full")
    assert reading.networks == ("bare", "mid", "full")
    assert "in 20 of 20 runs in the network bare" in sentences.headline(reading)


def test_a_defence_that_broke_is_never_called_one_that_held(report: Report) -> None:
    rates = [rate("defended", 0, size, flips) for size, flips in ((1, 0), (2, 3), (3, 10), (4, 8))]
    text = sentences.limits(read(with_rates(report, *rates)), "defended", "hospitals")
    assert text.startswith("The defences fail at 3\u00a0compromised hospitals")
    assert "The first flip is at 2\u00a0compromised hospitals" in text
    assert "It held up to 1\u00a0compromised hospital:" in text


def test_a_defence_that_was_dented_says_where_and_how_far(report: Report) -> None:
    rates = [rate("defended", size, 0, flips) for size, flips in ((8, 0), (16, 1), (32, 2))]
    text = sentences.limits(read(with_rates(report, *rates)), "defended", "sybils")
    assert "first turns at 16\u00a0Sybils" in text
    assert "at the most that was tried, 32\u00a0Sybils" in text
    assert "fail" not in text


def test_runs_without_a_decision_are_told(report: Report) -> None:
    rates = [rate("defended", 8, 0, 0), rate("defended", 16, 0, 0, undecided=4)]
    text = sentences.limits(read(with_rates(report, *rates)), "defended", "sybils")
    assert "4\u00a0undecided" in text
    assert "At 16\u00a0Sybils some runs end without a decision" in text


def test_of_two_steps_with_one_budget_the_worse_counts(report: Report) -> None:
    mild, harsh = rate("defended", 8, 0, 1), rate("defended", 8, 0, 15)
    reading = read(with_rates(report, mild, msgspec.structs.replace(harsh, step="patient")))
    found = reading.rate("defended", Budget(8, 0))
    assert found is not None
    assert found.flips == 15


@given(st.floats(0, 1))
def test_a_share_is_rounded_but_never_to_certainty(ratio: float) -> None:
    text = words.percent(ratio)
    if 1e-9 < ratio < 1 - 1e-9:
        assert text not in (words.percent(0), words.percent(1))
    if "<" not in text and ">" not in text:
        assert float(text.split("\u00a0")[0]) / 100 == pytest.approx(ratio, abs=0.00051)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([1, 2, 3], "1\u20133"), ([5, 1, 2, 9, 2], "1\u20132, 5, 9")],
)
def test_seeds_are_joined_into_ranges(numbers: list[int], text: str) -> None:
    assert words.ranges(numbers) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12.3 milliseconds"),
        (58.3, "58.3 seconds"),
        (200, "3.3 minutes"),
        (3e5, "3.5 days"),
    ],
)
def test_durations_have_the_unit_of_a_person(seconds: float, text: str) -> None:
    assert words.duration(seconds).replace("\u00a0", " ") == text


def test_the_clock_is_told_in_days() -> None:
    assert words.clock(86_400) == "1 second of the run is 1 day"
    assert words.clock(43_200) == "1 second of the run is 12 hours"


def test_runs_that_were_wrong_without_an_attack_are_not_laid_at_the_attackers_door(
    report: Report,
) -> None:
    wrong = with_rates(report, rate("defended", 0, 0, 1), rate("defended", 8, 0, 1))
    right = with_rates(report, rate("defended", 0, 0, 0), rate("defended", 8, 0, 1))
    said = "Without any attack it is 1\u00a0of\u00a020"
    assert said in sentences.limits(read(wrong), "defended", "sybils")
    assert said not in sentences.limits(read(right), "defended", "sybils")


def test_the_gain_of_the_defences_is_paired_by_seed(report: Report) -> None:
    """All 20 pairs discordant: Newcombe 1998, method 10, gives 1 less the Wilson limits' norm."""
    text = sentences.paired(read(report))
    assert "20\u00a0seeds: +100.0 percentage points (+77.2 to +100.0)" in text
    turned = [
        msgspec.structs.replace(row, is_flipped=True) if row.network == "defended" else row
        for row in report.rows
    ]
    none = sentences.paired(read(msgspec.structs.replace(report, rows=turned)))
    assert "seeds: 0.0 percentage points" in none
    assert sentences.paired(read(msgspec.structs.replace(report, rows=[]))) == ""
