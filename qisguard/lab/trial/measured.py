"""What one trial measured, and what every metric means.

A *ratio* is counted: successes of tries. A *value* is one number for a whole trial. A *time* is a
value that was measured with a clock of this machine: no replay repeats it. Intervals come later,
over seeds; a trial alone has none.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import msgspec


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``better`` is the direction that honest people want."""

    kind: Literal["ratio", "value", "time"]
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
    "places_bad": Metric(
        "ratio", "of replicas", "low", "of the nodes closest to a key, those of attackers"
    ),
    "exposed": Metric("ratio", "of operations", "low", "an attacker saw who asked and for what"),
    "stored": Metric("ratio", "of records", "high", "was acknowledged by a replica"),
    "readable": Metric("ratio", "of records", "high", "was retrieved by an honest reader"),
    "stale_read": Metric(
        "ratio", "of records", "low", "an old version was retrieved, and the current one was not"
    ),
    "false_read": Metric(
        "ratio",
        "of packets",
        "low",
        "of all that readers were given, what no honest node published",
    ),
    "false_accepted": Metric(
        "ratio", "of false items", "low", "taken by an honest node that was offered them"
    ),
    "packets_kept": Metric(
        "ratio",
        "of replicas",
        "high",
        "the honest nodes closest to a packet, that hold it",
    ),
    "records_kept": Metric(
        "ratio",
        "of replicas",
        "high",
        "the honest nodes closest to a key, with its publisher's record",
    ),
    "provider_found": Metric(
        "ratio", "of records", "high", "the publisher was among the providers that were found"
    ),
    "provider_first": Metric(
        "ratio", "of records", "high", "the publisher was among the first ten providers found"
    ),
    "provider_false": Metric(
        "ratio",
        "of providers",
        "low",
        "of all that readers were given, those that are no honest node",
    ),
    "evidence_found": Metric(
        "ratio",
        "of cases",
        "high",
        "two versions of one number exist, and one honest store has both",
    ),
    "replays_accepted": Metric(
        "ratio", "of datagrams", "low", "arrived at an honest node again, and were not dropped"
    ),
    "flood_served": Metric(
        "ratio", "of requests", "low", "of those of a flood, what honest nodes worked for"
    ),
    "keys_identified": Metric(
        "ratio", "of queries", "low", "whose similarity key the attacker named"
    ),
    "identities_accepted": Metric(
        "ratio", "of identities", "low", "that would be let in without the work they should cost"
    ),
    "table_bad": Metric(
        "ratio", "of contacts", "low", "of all entries in honest tables, those of attackers"
    ),
    "siblings_bad": Metric(
        "ratio", "of siblings", "low", "of all entries in honest sibling lists, attackers"
    ),
    "false_entries": Metric(
        "ratio", "of contacts", "low", "in honest tables: no such id, or not at this address"
    ),
    "victims_bad": Metric(
        "ratio", "of contacts", "low", "of all entries in the victims' tables, those of attackers"
    ),
    "victims_siblings_bad": Metric(
        "ratio", "of siblings", "low", "of all entries in the victims' sibling lists, attackers"
    ),
    "isolated": Metric("ratio", "of victims", "low", "know no honest node any more"),
    "size_believed": Metric(
        "value",
        "of the honest",
        "low",
        "nodes that the network seems to have, median of victims, else of all",
    ),
    "size_siblings": Metric(
        "value", "of the honest", "low", "the same, if they believed their nearest neighbours"
    ),
    "flipped": Metric("ratio", "of polls", "low", "the answer names the worse arm as the better"),
    "flipped_unnoticed": Metric(
        "ratio", "of polls", "low", "the answer names the worse arm, and is called ok"
    ),
    "warned": Metric(
        "ratio", "of flipped polls", "high", "the answer is called fragile, suspect or mixed"
    ),
    "answers_ok": Metric("ratio", "of polls", "high", "the answer is called ok"),
    "answers_flagged": Metric("ratio", "of polls", "low", "a detector reported something"),
    "detected": Metric(
        "ratio", "of polls", "low", "a detector reported something from the onset of the attack on"
    ),
    "flagged_by_chance": Metric(
        "ratio", "of polls", "low", "a detector that does nothing, with equal false alarms, did so"
    ),
    "flags_right": Metric(
        "ratio",
        "of flags",
        "high",
        "were of the attacked of two polls, the other clean; chance: .5",
    ),
    "flipped_under_lies": Metric(
        "ratio", "of answers", "low", "names the worse arm, of those given while lies are current"
    ),
    "delay_days": Metric(
        "value", "days", "low", "from the first lie to the first report of a detector"
    ),
    "liars_weight": Metric(
        "value", "of the weight", "low", "is the attackers', mean of answers while lies are current"
    ),
    "lies": Metric("value", "cases", "low", "false ones that attackers published"),
    "served": Metric("value", "cases", "high", "true ones that attackers published, their cost"),
    "names": Metric("value", "author keys", "high", "that attackers published under, their cost"),
    "flips_per_1000_served": Metric(
        "value", "answers", "low", "turned for 1,000 true outcomes that attackers had to publish"
    ),
    "flips_per_name": Metric("value", "answers", "low", "turned for each name that was used up"),
    "covered": Metric("ratio", "of polls", "high", "the interval contains the true difference"),
    "arm_covered": Metric(
        "ratio", "of polls", "high", "the interval of the first arm contains the truth"
    ),
    "arm_covered_if_independent": Metric(
        "ratio", "of polls", "high", "an interval would that takes an issuer's cases as independent"
    ),
    "mean_flipped": Metric(
        "ratio", "of polls", "low", "the mean of all numbers names the worse arm, which is beside"
    ),
    "poison_kept": Metric("ratio", "of false votes", "low", "have a weight in the end"),
    "honest_kept": Metric("ratio", "of honest votes", "high", "have a weight in the end"),
    "poison_share": Metric("value", "of the weight", "low", "is that of false votes"),
    "bias": Metric("value", "difference", "high", "first arm less second, less the truth"),
    "delay": Metric(
        "value", "packets", "low", "from the onset to the first report, median of a trial's polls"
    ),
    "mean_bias": Metric(
        "value", "difference", "high", "first mean less second, less the truth; of numbers, beside"
    ),
    "safe_below": Metric(
        "value", "of the weight", "high", "poison that is guaranteed not to reverse the answer"
    ),
    "interval_width": Metric("value", "difference", "low", "of the 95 % interval"),
    "degree_honest": Metric(
        "value", "of honest tables", "high", "that the most widely known honest node is in"
    ),
    "degree_attackers": Metric(
        "value", "of honest tables", "low", "that the most widely known attacker is in"
    ),
    "attackers": Metric("value", "identities", "low", "that attackers got for their budget"),
    "identity_tries": Metric(
        "value", "tries", "high", "keys and hashes tried for one fresh identity, on average"
    ),
    "hops": Metric("value", "hops", "low", "mean length of the path to the result"),
    "messages": Metric("value", "requests", "low", "mean requests of one look-up"),
    "latency_p50": Metric("value", "seconds", "low", "median duration of an operation"),
    "latency_p95": Metric("value", "seconds", "low", "95th percentile of the duration"),
    "datagrams": Metric("value", "datagrams", "low", "sent by everybody, for each operation"),
    "store_max": Metric(
        "value", "items", "low", "records and packets in the honest store that holds the most"
    ),
    "amplification": Metric(
        "value", "bytes per byte", "low", "reached the victim for each byte that the attacker sent"
    ),
    "attack_datagrams": Metric("value", "datagrams", "low", "sent by attackers that are no nodes"),
    "keys_per_id": Metric("value", "key pairs", "high", "tried for one identity in a wanted place"),
    "mib_per_id": Metric("value", "MiB", "high", "of memory filled for one such identity"),
    "seconds_per_id": Metric("time", "seconds", "high", "of one core, for one such identity"),
    "ids_per_second": Metric("time", "per second", "low", "identities let in, of one core"),
    "keys_per_second": Metric("time", "per second", "low", "similarity keys tried, of one core"),
    "seconds_to_identify": Metric("time", "seconds", "high", "until all queries had been compared"),
}
"""What the laboratory can measure. An attack may add counts of its own, see ``plugins``."""


class Measured(msgspec.Struct, frozen=True):
    """The result of one trial.

    ``ratios``: successes and tries by metric. ``values``: one number by metric; a metric that could
    not be measured is absent. ``digest`` covers everything that is deterministic, so that a replay
    can be compared; ``seconds``, ``cpu_seconds`` and ``times``, by metric, are not.
    """

    ratios: dict[str, tuple[int, int]]
    values: dict[str, float]
    digest: str
    notes: list[str]
    seconds: float
    cpu_seconds: float
    times: dict[str, float] = {}


def seal(events: str, ratios: dict[str, tuple[int, int]], values: dict[str, float]) -> str:
    """Return the digest of a trial: SHA-256 over what happened and what was measured, in hex."""
    results = msgspec.json.encode([events, sorted(ratios.items()), sorted(values.items())])
    return sha256(results).hexdigest()
