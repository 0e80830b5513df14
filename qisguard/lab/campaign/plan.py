"""What a campaign runs: points of a scenario, the arms of each, seeds in rounds until narrow."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from qisguard.errors import ScenarioError
from qisguard.fill import show
from qisguard.lab.campaign.ledger import Entry
from qisguard.lab.scenario.gates import SAMPLES_MIN, Gate, read_gate
from qisguard.lab.scenario.loading import Loaded, load_scenario, points
from qisguard.lab.trial.engines import Job
from qisguard.lab.trial.measured import METRICS

JOBS_MAX = 10_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a command says over the file: number of seeds, when to end, more gates."""

    seeds: int | None = None
    until: str = ""
    gates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario that is going to run, checked at every point.

    ``loaded`` has one for each of ``points``. ``first`` to ``first + count - 1`` are the seeds of
    the first round; ``most`` is how many there may be at a point.
    """

    data: bytes
    points: tuple[dict[str, Any], ...]
    loaded: tuple[Loaded, ...]
    first: int
    count: int
    most: int
    more_gates: tuple[Gate, ...]
    until: Gate | None

    @property
    def name(self) -> str:
        """Return the scenario's name."""
        return self.loaded[0].scenario.name

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the scenario file, in hex."""
        return self.loaded[0].digest

    @property
    def engines(self) -> list[str]:
        """Return the engines that its points run on, each once."""
        return list(dict.fromkeys(one.scenario.engine for one in self.loaded))

    def gates(self, point: int) -> list[Gate]:
        """Return the gates of one point: the file's, and those of the command; each once."""
        loaded = self.loaded[point]
        more = [gate for gate in self.more_gates if gate.arm in loaded.arms]
        return list(dict.fromkeys([*loaded.gates, *more]))

    def round(self, counts: Iterable[tuple[int, int, int]]) -> Iterator[Entry]:
        """Yield the trials of (point, from, to) for each: seeds ``first + from`` to before ``to``.

        Seeds come first, so that whatever is done of a round is about every point and arm.
        """
        spans = {point: range(start, end) for point, start, end in counts}
        for number in sorted({n for span in spans.values() for n in span}):
            for point, span in spans.items():
                if number in span:
                    for arm in self.loaded[point].arms:
                        job = self.job(point, arm, self.first + number)
                        yield Entry(job.key, point, arm, job.seed)

    def job(self, point: int, arm: str, seed: int) -> Job:
        """Return one trial."""
        return Job(self.data, self.points[point], str(arm), seed)


def has_grid(data: bytes) -> bool:
    """Return whether a scenario file has more than one point."""
    return next(iter(points(data))) != {}


def make_plan(data: bytes, options: Options, *, is_sweep: bool) -> Plan:
    """Return the plan of a scenario file: of its grid, or of the values in the file alone.

    Raises:
        ScenarioError: the file, a point of its grid, or an option cannot be run as written.
    """
    return plan_at(data, _points(data, is_sweep), options)


def plan_at(data: bytes, chosen: Iterable[dict[str, Any]], options: Options) -> Plan:
    """Return the plan of certain points."""
    unique = {json.dumps(point, sort_keys=True, default=str): point for point in chosen}
    loaded = tuple(load_scenario(data, point) for point in unique.values())
    seeds = loaded[0].scenario.seeds
    count = seeds.count if options.seeds is None else options.seeds
    if not 1 <= count <= 100_000:
        raise ScenarioError(f"--seeds = {count}, must be 1 to 100000")
    arms = list(dict.fromkeys(str(arm) for one in loaded for arm in one.arms))
    gates = tuple(read_gate(text, arms, METRICS, "--fail-on") for text in options.gates)
    until = loaded[0].until
    if options.until:
        until = read_gate(options.until, arms, METRICS, "--until")
        if until.end != "width":
            raise ScenarioError(
                f"--until = {show(until.text)}, must be about a width, such as "
                "'defended.success.width < 0.02'"
            )
    jobs = count * sum(len(one.arms) for one in loaded)
    if jobs > JOBS_MAX:
        raise ScenarioError(f"{jobs} trials, at most {JOBS_MAX}; take fewer seeds or points")
    most = max(seeds.most, count) if until else count
    return Plan(
        data,
        tuple(unique.values()),
        loaded,
        seeds.first,
        count,
        most,
        gates,
        until,
    )


def next_count(width: float | None, bound: float, seeds: int, most: int) -> int:
    """Return how many seeds to have next, when ``seeds`` gave an interval of ``width``.

    The width falls as the root of the number of seeds; at most twice as many are asked for, as it
    is only an estimate. A width that nobody measured grows by as many again.
    """
    needed = 2 * seeds
    if width is not None and bound > 0:
        needed = min(needed, int(seeds * (width / bound) ** 2) + 1)
    return min(max(needed, seeds + 1, SAMPLES_MIN), most)


def _points(data: bytes, is_sweep: bool) -> list[dict[str, Any]]:
    if not is_sweep:
        return [{}]
    if not has_grid(data):
        raise ScenarioError("grid: there is none, so this is one point: qisguard attack run")
    return list(points(data))
