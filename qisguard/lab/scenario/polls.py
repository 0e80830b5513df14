"""What a scenario of the engine ``columns`` may say: a poll, an attack on votes, defences of it."""

from qisguard.defenses import DEFENSES
from qisguard.errors import ScenarioError
from qisguard.fill import show
from qisguard.lab.scenario.tables import (
    AttackTable,
    ChurnTable,
    NetworkTable,
    PopulationTable,
    Scenario,
    WorkloadTable,
    YearsTable,
)
from qisguard.plugins import Adapts, Attack, Poisons

CASES_MAX = 100_000
"""Cases of one poll, honest or not."""
TIME_MAX = 20_000
"""The longest time that a packet may claim, in days."""


def check_poll(scenario: Scenario, attack: Attack) -> None:
    """Raise ScenarioError for a scenario that cannot be polled."""
    name, table = scenario.attack.name, scenario.population
    if not isinstance(attack, Poisons | Adapts):
        raise ScenarioError(f"engine = 'columns': {name} attacks no votes, run it on 'virtual'")
    for table_name, given, nothing in (
        ("network", scenario.network, NetworkTable()),
        ("churn", scenario.churn, ChurnTable()),
        ("workload", scenario.workload, WorkloadTable()),
        ("years", scenario.years, YearsTable()),
    ):
        if given != nothing:
            raise ScenarioError(f"{table_name}: 'columns' has votes alone, see population")
    for i, one in enumerate(scenario.defenses):
        if not any(hasattr(DEFENSES[one.name], seam) for seam in ("weigh", "watch", "tune")):
            raise ScenarioError(
                f"defenses[{i}].name: {one.name} looks at packets or contacts, and 'columns' has "
                "votes alone"
            )
    for field, value, low, high in _ranges(table, scenario.attack):
        if not low <= value <= high:
            raise ScenarioError(f"{field} = {show(value)}, must be {low:g} to {high:g}")
    if not table.low < table.high:
        raise ScenarioError(f"population.high = {show(table.high)}, must be above low")
    if not 0 <= table.followed_from < table.followed_to <= TIME_MAX:
        raise ScenarioError(
            f"population.followed_to = {show(table.followed_to)}, must be a day after "
            f"followed_from = {show(table.followed_from)}, to {TIME_MAX}"
        )
    if table.cohort and (table.cohort not in ("I", "II", "III") or table.kind != "time-to-event"):
        raise ScenarioError(
            f"population.cohort = {show(table.cohort)}, must be I, II or III, of a time-to-event"
        )
    if scenario.attack.standing == "hospitals" and not scenario.attack.issuers:
        raise ScenarioError("attack.issuers = 0: standing 'hospitals' needs some that are taken")


def _ranges(table: PopulationTable, attack: AttackTable) -> list[tuple[str, float, float, float]]:
    """Return field, value, least and most; chances and survival are inside 0 to 1."""
    low, high = (table.low, table.high) if table.kind == "numeric" else (0.0, 1.0)
    return [
        ("population.polls", table.polls, 1, 100_000),
        ("population.first", table.first, low, high),
        ("population.second", table.second, low, high),
        ("population.spread", table.spread, 0, 1e9),
        ("population.horizon", table.horizon, 1, TIME_MAX),
        ("population.shape", table.shape, 0.1, 10),
        ("population.per_arm", table.per_arm, 1, CASES_MAX),
        ("population.issuers", table.issuers, 1, 500),
        ("population.icc", table.icc, 0, 0.9),
        ("population.strangers", table.strangers, 0, 1),
        ("population.days", table.days, 1, 10_000),
        ("population.cohort_ratio", table.cohort_ratio, 1 / max(table.per_arm, 1), 1),
        ("population.min_cohort", table.min_cohort, 1, CASES_MAX),
        ("population.flip_threshold", table.flip_threshold, 0, 1),
        ("attack.issuers", attack.issuers, 0, table.issuers),
        ("attack.onset", attack.onset, 0, 0.99),
        ("attack.strangers", attack.strangers, 0, CASES_MAX),
    ]
