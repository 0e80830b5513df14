"""What a scenario file may say, table by table; ranges are checked where it is loaded."""

from typing import Any, Literal

import msgspec

from qisguard.lab.brakes import Limits

ENGINES = ("live", "virtual", "model", "direct")
"""Where a scenario can run; see ``lab.trial.engines``."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class NetworkTable(_Table, frozen=True):
    """The honest network, before anybody attacks it.

    ``start``: ``cold`` nodes join one after the other over the wire; ``warm`` ones begin with
    tables filled from global knowledge, which says nothing about joining and is noted with results.
    ``organisations`` > 0 puts every honest node on a signed roster, spread evenly over so many.
    ``networks`` is over how many /24 the honest nodes are spread; 0 gives every node its own.
    ``node`` overrides limits of NodeConfig, ``links`` what happens to datagrams (virtual).
    """

    nodes: int = 100
    start: Literal["warm", "cold"] = "warm"
    static_puzzle_bits: int = 0
    dynamic_puzzle_bits: int = 0
    organisations: int = 0
    networks: int = 0
    node: dict[str, Any] = {}
    links: dict[str, Any] = {}


class ChurnTable(_Table, frozen=True):
    """``replaced_ratio`` of the honest nodes crash and are replaced every ``period`` seconds."""

    replaced_ratio: float = 0.0
    period: float = 600.0


class WorkloadTable(_Table, frozen=True):
    """What honest nodes do while they are measured.

    ``find``: look-ups of random ids. ``records``: one packet is published under each of
    ``operations`` keys, and afterwards retrieved by somebody else. ``providers``: the same, but it
    is asked who provides the key. ``idle``: nothing. ``versions`` of each packet are published, one
    after the other: readers should get the last.
    ``targets``: one random id for each operation, or always ``one``, the place under attack.
    ``pause`` is the time between the starts of two operations, in seconds; 0 lets each wait for the
    one before. ``askers``: who does it, any honest node or the attack's ``victims``.
    """

    kind: Literal["find", "records", "providers", "idle"] = "find"
    operations: int = 20
    targets: Literal["random", "one"] = "random"
    pause: float = 0.0
    versions: int = 1
    askers: Literal["anyone", "victims"] = "anyone"


class AttackTable(_Table, frozen=True):
    """Who attacks, with what, and when.

    The budget is ``identities``, or ``share`` of all nodes, attackers included. They speak from
    ``hosts`` addresses in ``networks`` /24s; 0 gives each identity its own. ``arrival``: attackers
    joined with everybody else and were well-behaved until now (``settled``), or join when the
    attack begins. ``begins``: before the records are published, or after. ``lead`` seconds pass
    between the beginning of the attack and the first measured operation. ``enrolled`` attackers are
    on the roster, as an organisation each. ``victims`` honest nodes are aimed at. ``tries`` bounds
    the keys and hashes that attackers try for their identities; 0 gives them what they need.
    """

    name: str
    identities: int = 0
    share: float = 0.0
    hosts: int = 0
    networks: int = 0
    arrival: Literal["settled", "joins"] = "joins"
    begins: Literal["before", "after"] = "before"
    lead: float = 0.0
    enrolled: bool = False
    victims: int = 0
    tries: int = 0
    parameters: dict[str, Any] = {}


class DefenseTable(_Table, frozen=True):
    """One defence with its parameters."""

    name: str
    parameters: dict[str, Any] = {}


class SeedsTable(_Table, frozen=True):
    """Seeds ``first`` to ``first + count - 1``; more, up to ``most``, until ``until`` holds.

    ``until`` is the width of an interval, such as ``defended.success.width < 0.02``.
    """

    first: int = 1
    count: int = 20
    most: int = 200
    until: str = ""


class Expected(_Table, frozen=True):
    """What ``source`` says about ``arm.metric``: a value from ``low`` to ``high``.

    It is compared with what was measured and shown beside it; it never makes a result.
    """

    value: str
    low: float
    high: float
    source: str
    note: str = ""


class Scenario(_Table, frozen=True):
    """The whole file; ``grid`` gives several values to keys such as ``attack.share``.

    ``brakes`` bound what one trial may use.
    """

    name: str
    title: str
    attack: AttackTable
    engine: Literal["live", "virtual", "model", "direct"] = "virtual"
    network: NetworkTable = NetworkTable()
    churn: ChurnTable = ChurnTable()
    workload: WorkloadTable = WorkloadTable()
    defenses: list[DefenseTable] = []
    seeds: SeedsTable = SeedsTable()
    gates: list[str] = []
    expected: list[Expected] = []
    grid: dict[str, list[Any]] = {}
    brakes: Limits = Limits()
