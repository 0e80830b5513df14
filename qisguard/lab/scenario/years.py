"""What a scenario over simulated years may say."""

from qisguard.errors import ScenarioError
from qisguard.fill import show
from qisguard.lab.scenario.tables import Scenario, YearsTable

DAYS_MAX = 36_500


def check_years(scenario: Scenario) -> None:
    """Raise ScenarioError for years that cannot pass."""
    table = scenario.years
    if scenario.workload.kind != "years":
        if table != YearsTable():
            raise ScenarioError("years: the table is for workload.kind = 'years'")
        return
    if scenario.engine != "virtual":
        raise ScenarioError(f"workload.kind = 'years': on {scenario.engine} it takes years")
    if scenario.network.organisations < 2:
        raise ScenarioError("workload.kind = 'years': needs members, set network.organisations")
    for field, value, low, high in (
        ("days", table.days, 7, DAYS_MAX),
        ("cases", table.cases, 1, 1_000),
        ("first", table.first, 0.0, 1.0),
        ("second", table.second, 0.0, table.first),
        ("lasts", table.lasts, 8, DAYS_MAX),
        ("verified_ratio", table.verified_ratio, 0.0, 1.0),
        ("error_ratio", table.error_ratio, 0.0, 1.0),
        ("asks", table.asks, 7, DAYS_MAX),
        ("begins", table.begins, 0, table.days),
    ):
        if not low <= value <= high:
            raise ScenarioError(f"years.{field} = {show(value)}, must be {low:g} to {high:g}")
