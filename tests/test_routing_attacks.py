"""Every attack on routing hurts in the metric that its card names, and what helps against it."""

from functools import cache

import pytest

from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.engines import Job, run_job

SMALL = """
name = "small"
title = "small"
[network]
nodes = {nodes}
organisations = {organisations}
node = {{ k = 4, alpha = 1, siblings = 4, sibling_factor = 2, replica_count = 4{node} }}
[workload]
kind = "{kind}"
operations = {operations}
pause = {pause}
askers = "{askers}"
[attack]
name = "{attack}"
{more}
[[defenses]]
name = "{defense}"
parameters = {{ {parameters} }}
"""


@cache
def _trials(text: str, arm: Arm, seeds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return ratios over all seeds, and values averaged over them."""
    hits: dict[str, int] = {}
    tries: dict[str, int] = {}
    sums: dict[str, float] = {}
    for seed in range(1, seeds + 1):
        measured = run_job(Job(text.encode(), {}, arm, seed))
        for name, (hit, of) in measured.ratios.items():
            hits[name], tries[name] = hits.get(name, 0) + hit, tries.get(name, 0) + of
        for name, value in measured.values.items():
            sums[name] = sums.get(name, 0.0) + value / seeds
    return {name: hits[name] / of for name, of in tries.items() if of}, sums


class Small:
    """One small scenario, and what its arms measured."""

    def __init__(self, attack: str, more: str, seeds: int = 2, **rest: object) -> None:
        given = {
            "nodes": 50,
            "organisations": 0,
            "node": "",
            "kind": "find",
            "operations": 12,
            "pause": 0.0,
            "askers": "anyone",
            "defense": "disjoint_paths",
            "parameters": "",
        }
        self._text = SMALL.format(attack=attack, more=more, **{**given, **rest})
        self._seeds = seeds

    def ratio(self, arm: Arm, metric: str) -> float:
        """Return a ratio over all seeds of one arm."""
        return _trials(self._text, arm, self._seeds)[0][metric]

    def digest(self, arm: Arm) -> str:
        """Return the digest of a trial that is run now, whatever ran before."""
        return run_job(Job(self._text.encode(), {}, arm, 1)).digest

    def value(self, arm: Arm, metric: str) -> float:
        """Return a value averaged over the seeds of one arm."""
        return _trials(self._text, arm, self._seeds)[1][metric]


def _settled(share: float) -> str:
    return f"share = {share}\narrival = 'settled'"


# --- look-ups ------------------------------------------------------------------------------------
MISROUTE = Small("look_up_misroute", _settled(0.4), parameters="paths = 8", seeds=3)
CLOSEST = Small("look_up_false_closest", _settled(0.4), parameters="paths = 8", seeds=3)
DROP = Small("look_up_drop", _settled(0.3), pause=0.25)
SLOW = Small("look_up_slow", _settled(0.3), pause=0.25, defense="parallel_look_ups")


@pytest.mark.parametrize("small", [MISROUTE, CLOSEST])
def test_liars_on_the_path_hide_honest_nodes_and_disjoint_paths_find_more(small: Small) -> None:
    assert small.ratio(Arm.CLEAN, "recall") == 1.0
    attacked = small.ratio(Arm.ATTACKED, "recall")
    assert attacked < 0.75
    assert small.ratio(Arm.DEFENDED, "recall") > attacked
    assert small.ratio(Arm.DEFENDED, "success") >= small.ratio(Arm.ATTACKED, "success")


def test_disjoint_paths_cost_several_times_the_messages_and_no_success() -> None:
    assert MISROUTE.ratio(Arm.GUARDED, "success") == 1.0
    messages = MISROUTE.value(Arm.GUARDED, "messages") / MISROUTE.value(Arm.CLEAN, "messages")
    assert 2 < messages < 10


def test_silence_costs_time_rather_than_look_ups() -> None:
    assert DROP.ratio(Arm.ATTACKED, "success") > 0.8
    assert DROP.value(Arm.ATTACKED, "latency_p50") > 4 * DROP.value(Arm.CLEAN, "latency_p50")


def test_slow_answers_make_look_ups_slow_and_asking_many_at_once_bounds_that() -> None:
    attacked = SLOW.value(Arm.ATTACKED, "latency_p95")
    assert attacked > 4 * SLOW.value(Arm.CLEAN, "latency_p95")
    assert SLOW.value(Arm.DEFENDED, "latency_p95") < attacked
    assert SLOW.ratio(Arm.GUARDED, "success") == 1.0


# --- Sybils --------------------------------------------------------------------------------------
AT_KEY = "identities = 36"
REGION = Small(
    "sybil_at_key",
    AT_KEY,
    1,
    kind="records",
    operations=3,
    defense="region_store",
    parameters="replicas = 8",
)
AT_ROSTER = Small(
    "sybil_at_key",
    AT_KEY,
    1,
    kind="records",
    operations=3,
    organisations=10,
    defense="roster_routing",
)
FLOOD = Small(
    "sybil_flood",
    "identities = 200\narrival = 'settled'",
    1,
    organisations=10,
    defense="roster_routing",
)
WORK = Small(
    "sybil_flood",
    "identities = 200\ntries = 500\narrival = 'settled'",
    1,
    defense="puzzles",
    parameters="static_bits = 4, dynamic_bits = 4",
)


@pytest.mark.parametrize("small", [REGION, AT_ROSTER])
def test_ids_bought_around_a_key_censor_it_unless_a_region_or_a_roster_keeps_it(
    small: Small,
) -> None:
    assert small.ratio(Arm.CLEAN, "readable") == 1.0
    assert small.ratio(Arm.ATTACKED, "readable") <= 0.1
    assert small.ratio(Arm.DEFENDED, "readable") == 1.0
    assert small.ratio(Arm.GUARDED, "readable") == 1.0


def test_a_region_costs_messages() -> None:
    ratio = REGION.value(Arm.GUARDED, "datagrams") / REGION.value(Arm.CLEAN, "datagrams")
    assert 1.2 < ratio < 10


def test_a_flood_of_identities_captures_look_ups_and_a_roster_keeps_it_out() -> None:
    assert FLOOD.ratio(Arm.ATTACKED, "captured") > 0.7
    assert FLOOD.ratio(Arm.DEFENDED, "captured") == FLOOD.ratio(Arm.DEFENDED, "table_bad") == 0.0
    assert FLOOD.ratio(Arm.GUARDED, "success") == 1.0
    assert FLOOD.value(Arm.GUARDED, "messages") == FLOOD.value(Arm.CLEAN, "messages")


def test_puzzles_make_the_same_work_fewer_identities() -> None:
    assert WORK.value(Arm.ATTACKED, "attackers") == 200
    assert 3 < WORK.value(Arm.DEFENDED, "attackers") < 30
    assert WORK.ratio(Arm.DEFENDED, "captured") < WORK.ratio(Arm.ATTACKED, "captured") / 2
    assert WORK.ratio(Arm.GUARDED, "success") == 1.0


# --- tables --------------------------------------------------------------------------------------
TIGHT = "bucket_max = 1, table_max = 2"
OFF = ", address_diversity = false"
ONE_HOST = "hosts = 1\nnetworks = 1\n"
TWO_HOSTS = "hosts = 2\nnetworks = 2\n"
TABLES = Small(
    "table_flood",
    f"identities = 24\n{ONE_HOST}lead = 3",
    1,
    node=OFF,
    defense="address_diversity",
    parameters=TIGHT,
)
NEAR = Small(
    "near_bucket_flood",
    "identities = 16\nvictims = 2\nlead = 3\nparameters = { prefix_bits = 9 }",
    1,
    node=", shared_bits_max = 256",
    askers="victims",
    defense="prefix_limit",
    parameters="bits_max = 8",
)
RESTART = Small(
    "restart_eclipse",
    f"identities = 30\nvictims = 3\nlead = 8\n{TWO_HOSTS}parameters = {{ bad_ratio = 0.8 }}",
    1,
    node=OFF,
    askers="victims",
    defense=f'address_diversity"\nparameters = {{ {TIGHT} }}\n[[defenses]]\nname = "disjoint_paths',
)
ALL_BAD = Small(
    "bootstrap_poisoning",
    "identities = 10\nvictims = 3\narrival = 'settled'",
    1,
    organisations=10,
    askers="victims",
    defense="roster_routing",
)
TWO_BAD = Small(
    "bootstrap_poisoning",
    "identities = 10\nvictims = 3\narrival = 'settled'\nparameters = { bad = 2 }",
    1,
    askers="victims",
)
ADVERTS = Small(
    "colluding_adverts",
    f"identities = 20\n{ONE_HOST}lead = 3",
    1,
    node=OFF,
    defense="address_diversity",
    parameters=TIGHT,
)


@pytest.mark.parametrize("small", [TABLES, ADVERTS])
def test_callers_of_one_network_fill_free_places_and_diversity_leaves_them_few(
    small: Small,
) -> None:
    assert small.ratio(Arm.CLEAN, "table_bad") == small.ratio(Arm.CLEAN, "siblings_bad") == 0.0
    attacked = small.ratio(Arm.ATTACKED, "table_bad")
    assert small.ratio(Arm.ATTACKED, "siblings_bad") > attacked > 0.1
    assert small.ratio(Arm.DEFENDED, "table_bad") < attacked / 1.25
    assert small.ratio(Arm.GUARDED, "success") == 1.0


def test_ids_next_to_a_victim_own_its_sibling_list_unless_they_are_refused_as_too_near() -> None:
    assert NEAR.ratio(Arm.ATTACKED, "victims_siblings_bad") > 0.9
    assert NEAR.ratio(Arm.DEFENDED, "victims_siblings_bad") == 0.0
    assert NEAR.ratio(Arm.GUARDED, "success") == 1.0


def test_a_victim_that_restarts_among_attackers_needs_diversity_and_disjoint_paths() -> None:
    assert RESTART.ratio(Arm.CLEAN, "isolated") == RESTART.ratio(Arm.CLEAN, "victims_bad") == 0.0
    attacked = RESTART.ratio(Arm.ATTACKED, "victims_bad")
    assert attacked > 0.3
    assert RESTART.ratio(Arm.DEFENDED, "victims_bad") < attacked
    assert RESTART.ratio(Arm.DEFENDED, "success") > RESTART.ratio(Arm.ATTACKED, "success")
    assert RESTART.ratio(Arm.GUARDED, "success") == 1.0


def test_all_bootstraps_bad_isolate_and_a_roster_only_turns_lies_into_silence() -> None:
    assert ALL_BAD.ratio(Arm.CLEAN, "isolated") == 0.0
    assert ALL_BAD.ratio(Arm.ATTACKED, "isolated") == 1.0
    assert ALL_BAD.ratio(Arm.ATTACKED, "captured") == 1.0
    assert ALL_BAD.ratio(Arm.DEFENDED, "isolated") == 1.0
    assert ALL_BAD.ratio(Arm.DEFENDED, "captured") == 0.0


def test_one_honest_bootstrap_of_three_is_asked_where_paths_are_disjoint() -> None:
    assert TWO_BAD.ratio(Arm.ATTACKED, "isolated") > 0.5  # one path: four liars are nearer
    assert TWO_BAD.ratio(Arm.DEFENDED, "isolated") < TWO_BAD.ratio(Arm.ATTACKED, "isolated")


# --- hearsay -------------------------------------------------------------------------------------
ADDRESS = Small("false_address", _settled(0.3), pause=0.25, parameters="paths = 4")
SPOOFED = Small("id_spoofing", _settled(0.3), pause=0.25, defense="short_patience")


@pytest.mark.parametrize("small", [ADDRESS, SPOOFED])
def test_false_contacts_cost_time_and_never_enter_a_table(small: Small) -> None:
    assert small.ratio(Arm.ATTACKED, "false_entries") == 0.0
    clean = small.value(Arm.CLEAN, "latency_p95")
    assert small.value(Arm.ATTACKED, "latency_p95") > 4 * clean


def test_giving_up_early_bounds_what_invented_ids_cost() -> None:
    patient = SPOOFED.value(Arm.ATTACKED, "latency_p95")
    assert SPOOFED.value(Arm.DEFENDED, "latency_p95") < patient / 2


# --- churn ---------------------------------------------------------------------------------------
LEAVE = Small("churn_attack", _settled(0.4), pause=0.25, defense="short_patience")
RECORDS = Small(
    "churn_attack",
    _settled(0.5) + "\nbegins = 'after'",
    kind="records",
    pause=0.25,
    node=", request_tries = 3, handshake_tries = 3",
    defense="more_replicas",
    parameters="replicas = 12",
)


def test_those_who_leave_at_once_cost_time_and_giving_up_early_bounds_it() -> None:
    attacked = LEAVE.value(Arm.ATTACKED, "latency_p95")
    assert attacked > 4 * LEAVE.value(Arm.CLEAN, "latency_p95")
    assert LEAVE.value(Arm.DEFENDED, "latency_p95") < attacked / 2
    assert LEAVE.ratio(Arm.GUARDED, "success") == 1.0


def test_records_leave_with_their_replicas_unless_there_are_more() -> None:
    assert RECORDS.ratio(Arm.CLEAN, "readable") == 1.0
    assert RECORDS.ratio(Arm.ATTACKED, "readable") < 1.0
    assert RECORDS.ratio(Arm.DEFENDED, "readable") > RECORDS.ratio(Arm.ATTACKED, "readable")


@pytest.mark.parametrize("small", [ALL_BAD, LEAVE])
def test_trials_with_restarts_and_departures_replay(small: Small) -> None:
    first = small.digest(Arm.ATTACKED)
    assert small.digest(Arm.ATTACKED) == first != small.digest(Arm.CLEAN)
