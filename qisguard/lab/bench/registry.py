"""All benchmarks by name; what a benchmark needs loads when it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qisguard.errors import ScenarioError
from qisguard.lab.bench.rows import Report, Row, Tell, commit, load_average, machine


@dataclass(frozen=True, slots=True)
class Bench:
    """What a benchmark proves, and the function that measures it from a seed."""

    proves: str
    measure: Callable[[int, Tell], Sequence[Row]]


def _append(seed: int, tell: Tell) -> Sequence[Row]:
    from qisguard.lab.bench.appending import measure

    return measure(seed, tell)


def _model(seed: int, tell: Tell) -> Sequence[Row]:
    from qisguard.lab.bench.model import measure

    return measure(seed, tell)


def _audit(seed: int, tell: Tell) -> Sequence[Row]:
    from qisguard.lab.bench.audits import measure

    return measure(seed, tell)


def _campaign(seed: int, tell: Tell) -> Sequence[Row]:
    from qisguard.lab.campaign.bench import measure

    return measure(seed, tell)


def _store(seed: int, tell: Tell) -> Sequence[Row]:
    from qisguard.lab.bench.store import measure

    return measure(seed, tell)


def _synthesis(seed: int, tell: Tell) -> Sequence[Row]:
    from qisguard.lab.bench.synthesis import measure

    return measure(seed, tell)


BENCHES = {
    "append": Bench(
        "Trails: durable appends beside bare fdatasync, and proofs from ten million entries' tiles",
        _append,
    ),
    "audit": Bench(
        "Audits: a million packets beside bare signatures, ten million entries, and the memory",
        _audit,
    ),
    "campaign": Bench(
        "Campaigns: two processes beside one, what the ledger costs, a cluster beside processes",
        _campaign,
    ),
    "model": Bench(
        "The array engine: speed, memory, and the figure of S/Kademlia against published numbers",
        _model,
    ),
    "store": Bench(
        "The store: upserts beside a bare loop of them, a hundred thousand providers of one key",
        _store,
    ),
    "synthesis": Bench(
        "Answers: a million votes of each kind, beside the naive mean and NumPy's floor",
        _synthesis,
    ),
}


def run(name: str, seed: int, tell: Tell) -> Report:
    """Measure and report.

    Raises:
        ScenarioError: there is no benchmark of this name.
    """
    if name not in BENCHES:
        raise ScenarioError(f"no benchmark {name!r}; there are {', '.join(BENCHES)}")
    before = load_average()
    rows = BENCHES[name].measure(seed, tell)
    return Report(name, rows, seed, commit(), machine(), (before, load_average()))
