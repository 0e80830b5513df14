"""A trial on votes alone: ``population.polls`` polls, through the code that answers queries.

No packets, no nodes, no network: what they add to a poisoned answer is tested once, and thousands
of polls are affordable. Runs of one seed share the honest votes in all arms.
"""

import time

from qisguard.errors import ScenarioError
from qisguard.lab.poisoning.play import Player, Stage
from qisguard.lab.poisoning.population import population_of
from qisguard.lab.poisoning.rehearsal import best_attack
from qisguard.lab.poisoning.tally import Tally
from qisguard.lab.poisoning.watching import delay, past_of
from qisguard.lab.scenario.loading import Loaded
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.measured import Measured, seal
from qisguard.plugins import Adapts, Poisons, Watches


def run_columns(loaded: Loaded, arm: Arm, seed: int) -> Measured:
    """Return what one seed of one arm measured."""
    started, cpu = time.perf_counter(), time.process_time()
    scenario = loaded.scenario
    population = population_of(scenario.population)
    defenses = loaded.defenses(arm, None)
    config = loaded.tuned(defenses).synthesis
    player = Player(population, scenario.attack, loaded.attackers, defenses, config)
    notes = [] if population.label == "drawn" else [f"cases: {population.label}"]
    poisoner: Poisons | None = None
    if arm.has_attack:
        poisoner, words = _poisoner(loaded, arm, player)
        notes += [f"{arm}: {words}"] if words else []
    tally = Tally(population)
    has_detector = any(isinstance(defense, Watches) for defense in defenses)
    false_alarms, alarms = [], []
    is_watched = has_detector and scenario.population.watched
    delays: list[int | None] = []
    for number in range(scenario.population.polls):
        polled = honest = player.honest(Stage.COUNTED, seed, number)
        if poisoner is not None:
            polled = player.attacked(poisoner, Stage.COUNTED, seed, number)
        past = past_of(polled.votes, scenario.population.horizon) if is_watched else None
        found = player.answer(polled, past)
        tally.count(polled, found)
        if is_watched:
            delays.append(delay(player, polled, player.onset))
        elif has_detector and poisoner is not None:
            alarms.append(bool(found.answer.flags))
            false_alarms.append(bool(player.answer(honest).answer.flags))
    if alarms:
        _compare(tally, alarms, false_alarms)
    if delays:
        tally.watched(delays)
    ratios, values = tally.ratios, tally.values
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Measured(ratios, values, seal(tally.events, ratios, values), notes, seconds, cpu)


def _poisoner(loaded: Loaded, arm: Arm, player: Player) -> tuple[Poisons, str]:
    """Return who casts the ballots, and what an adaptive one settled on."""
    attack = loaded.attack
    if isinstance(attack, Adapts):
        best = best_attack(loaded, player, arm.has_defenses)
        return best.poisoner, f"best attack of {best.polls} rehearsed polls: {best.words}"
    if isinstance(attack, Poisons):
        return attack, ""
    raise ScenarioError(f"engine = 'columns': {loaded.scenario.attack.name} attacks no votes")


def _compare(tally: Tally, alarms: list[bool], false_alarms: list[bool]) -> None:
    """Count the detectors beside one that does nothing, at equal false alarms.

    What does nothing reports attacked polls as often as clean ones: its detections are the false
    alarms of the same polls without an attack, and half of its reports are right.
    """
    tally.add("flagged_by_chance", sum(false_alarms), len(false_alarms))
    reports = sum(alarms) + sum(false_alarms)
    if reports:
        tally.add("flags_right", sum(alarms), reports)
