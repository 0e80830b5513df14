"""What a scenario file may say, table by table; ranges are checked where it is loaded."""

from typing import Any

import msgspec


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class NetworkTable(_Struct, frozen=True):
    """Size and puzzles; ``node`` overrides fields of NodeConfig."""

    issuers: int
    nodes_per_issuer: int
    static_puzzle_bits: int
    dynamic_puzzle_bits: int
    node: dict[str, Any] = {}
    links: dict[str, Any] = {}


class ClockTable(_Struct, frozen=True):
    """``rate`` calendar seconds pass in one engine second, from ``first_day`` on."""

    first_day: str
    rate: float
    enrolled_days: tuple[int, int]


class QuestionTable(_Struct, frozen=True):
    """Which two arms are compared at ``horizon`` days, by which template, with which fields fixed.

    ``text`` is the question in the words of who asks it.
    """

    text: str
    template: str
    arms: tuple[str, str]
    horizon: int
    values: dict[str, str | int | float]


class NetworkRun(_Struct, frozen=True):
    """One network that goes through all steps; ``parameters`` by defence.

    With ``trails`` its nodes keep audit trails on ``live``.
    """

    name: str
    defenses: list[str]
    trails: bool = False
    parameters: dict[str, dict[str, Any]] = {}


class Step(_Struct, frozen=True):
    """What the attacker holds while the question is asked."""

    name: str
    sybils: int = 0
    hospitals: int = 0


class SeedsTable(_Struct, frozen=True):
    """How many seeds each engine runs; ``quick`` of them with --quick."""

    live: int
    virtual: int
    quick: int


class Scenario(_Struct, frozen=True):
    """The whole file."""

    name: str
    title: str
    network: NetworkTable
    clock: ClockTable
    question: QuestionTable
    networks: list[NetworkRun]
    attacks: dict[str, dict[str, Any]]
    steps: list[Step]
    seeds: SeedsTable
