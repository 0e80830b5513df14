"""What a run leaves behind: typed rows and one summary, both plain JSON.

A row is one answer of one network at one step of the story; rates are counted from rows and carry
their interval; nothing here is computed by a formula that stands for a measurement.
"""

from collections.abc import Iterable

import msgspec


class ArmRow(msgspec.Struct, frozen=True):
    """One arm of an answer; survival estimates in [0, 1], ``median`` in days."""

    code: str
    n: int
    estimate: float | None
    lo: float | None
    hi: float | None
    median: float | None


class Row(msgspec.Struct, frozen=True):
    """One answer: where it came from, what the attacker had spent, what was decided."""

    engine: str
    seed: int
    network: str
    step: str
    sybils: int
    hospitals: int
    decision: str
    is_flipped: bool
    is_undecided: bool
    difference: float | None
    lo: float | None
    hi: float | None
    arms: list[ArmRow]
    method: str
    state: str
    reasons: list[str]
    flags: list[str]
    flip_radius_guaranteed: float | None
    flip_radius_found: float | None
    flip_radius_attack: str
    leave_one_out: tuple[float, float] | None
    largest_issuer_share: float
    none_share: float
    packet_count: int
    issuer_count: int
    effective_n: float
    dropped: dict[str, int]
    refused: dict[str, int]
    replicas_asked: int
    replicas_answered: int
    query_seconds: float
    query_datagrams: int


class Rate(msgspec.Struct, frozen=True):
    """How often the decision flipped at one step of one network, with its Wilson interval."""

    engine: str
    network: str
    step: str
    sybils: int
    hospitals: int
    seeds: list[int]
    flips: int
    undecided: int
    rate: float
    lo: float
    hi: float


class Curve(msgspec.Struct, frozen=True):
    """A survival curve as a step function: ``times`` in days, ``survival`` in [0, 1].

    Without ``engine`` it comes from the run of the report's first row.
    """

    network: str
    step: str
    arm: str
    times: list[float]
    survival: list[float]
    engine: str = ""
    seed: int = 0


class WeightRow(msgspec.Struct, frozen=True):
    """Weight that one issuer holds at one step; ``age`` in days since enrolment or first seen.

    Without ``engine`` it comes from the run of the report's first row.
    """

    network: str
    step: str
    issuer: str
    age: float
    votes: int
    weight: float
    is_hostile: bool
    engine: str = ""
    seed: int = 0


class NetworkRow(msgspec.Struct, frozen=True):
    """One network of one run: size and what its engine counted."""

    engine: str
    seed: int
    network: str
    nodes: int
    sybil_nodes: int
    packets_published: int
    acknowledged: int
    measures: dict[str, float]
    digest: str


class AuditRow(msgspec.Struct, frozen=True):
    """What the auditor said about one set of trails."""

    what: str
    trails: int
    entries: int
    signatures: int
    exit_code: int
    findings: list[dict[str, str]]


class Report(msgspec.Struct, frozen=True):
    """``report.json``: everything that a renderer needs, each number with its engine and seed."""

    format: int
    title: str
    scenario: str
    scenario_digest: str
    command: str
    seed: int
    is_quick: bool
    versions: dict[str, str]
    machine: dict[str, str]
    clock_rate: float
    puzzle_bits: tuple[int, int]
    identities_mined: int
    """For the live run, whose time for both puzzles is ``seconds_per_identity``."""
    seconds_per_identity: float
    cohort: str
    cohort_is_synthetic: bool
    patients: int
    question: str
    estimand: str
    horizon: int
    headline: str
    truth: list[ArmRow]
    rows: list[Row]
    rates: list[Rate]
    curves: list[Curve]
    weights: list[WeightRow]
    networks: list[NetworkRow]
    audits: list[AuditRow]
    defenses: list[dict[str, str]]
    attacks: list[dict[str, str]]
    seconds: float


def lines(rows: Iterable[Row]) -> bytes:
    """Return rows as JSON lines."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def encode(report: Report) -> bytes:
    """Return ``report.json``."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


def decode(data: bytes) -> Report:
    """Return the report in ``report.json``; raise ``msgspec.DecodeError`` when it is not one."""
    return msgspec.json.decode(data, type=Report)
