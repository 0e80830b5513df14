"""What one trial measured, and what every metric means.

A *ratio* is counted: successes of tries. A *value* is one number for a whole trial. Intervals come
later, over seeds; a trial alone has none.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import msgspec


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``better`` is the direction that honest people want."""

    kind: Literal["ratio", "value"]
    unit: str
    better: Literal["high", "low"]
    doc: str


METRICS: dict[str, Metric] = {
    "success": Metric(
        "ratio", "of look-ups", "high", "returned the honest node closest to the target"
    ),
    "recall": Metric(
        "ratio", "of nodes", "high", "of the honest nodes among the k closest, those returned"
    ),
    "captured": Metric("ratio", "of look-ups", "low", "returned more attackers than honest nodes"),
    "flagged": Metric(
        "ratio", "of look-ups", "low", "a detector called the ids around the target crowded"
    ),
    "exposed": Metric("ratio", "of operations", "low", "an attacker saw who asked and for what"),
    "stored": Metric("ratio", "of records", "high", "was acknowledged by a replica"),
    "readable": Metric("ratio", "of records", "high", "was retrieved by an honest reader"),
    "table_bad": Metric(
        "ratio", "of contacts", "low", "of all entries in honest tables, those of attackers"
    ),
    "siblings_bad": Metric(
        "ratio", "of siblings", "low", "of all entries in honest sibling lists, attackers"
    ),
    "hops": Metric("value", "hops", "low", "mean length of the path to the result"),
    "messages": Metric("value", "requests", "low", "mean requests of one look-up"),
    "latency_p50": Metric("value", "seconds", "low", "median duration of an operation"),
    "latency_p95": Metric("value", "seconds", "low", "95th percentile of the duration"),
    "datagrams": Metric("value", "datagrams", "low", "sent by everybody, for each operation"),
}
"""What the laboratory can measure. An attack may add counts of its own, see ``plugins``."""


class Measured(msgspec.Struct, frozen=True):
    """The result of one trial.

    ``ratios``: successes and tries by metric. ``values``: one number by metric; a metric that could
    not be measured is absent. ``digest`` covers everything that is deterministic, so that a replay
    can be compared; ``seconds`` and ``cpu_seconds`` are not.
    """

    ratios: dict[str, tuple[int, int]]
    values: dict[str, float]
    digest: str
    notes: list[str]
    seconds: float
    cpu_seconds: float


def seal(events: str, ratios: dict[str, tuple[int, int]], values: dict[str, float]) -> str:
    """Return the digest of a trial: SHA-256 over what happened and what was measured, in hex."""
    results = msgspec.json.encode([events, sorted(ratios.items()), sorted(values.items())])
    return sha256(results).hexdigest()
