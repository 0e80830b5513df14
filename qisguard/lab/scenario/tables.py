"""What a scenario file may say, table by table; ranges are checked where it is loaded."""

from typing import Any, Literal

import msgspec

from qisguard.lab.brakes import Limits

ENGINES = ("live", "virtual", "model", "direct", "columns")
"""Where a scenario can run; see ``lab.trial.engines``."""


Standing = Literal["fresh", "spread", "aged", "enrolled", "veterans", "hospitals"]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class NetworkTable(_Table, frozen=True):
    """The honest network, before anybody attacks it.

    ``start``: ``cold`` nodes join one after the other over the wire; ``warm`` ones begin with
    tables filled from global knowledge, which says nothing about joining and is noted with results;
    ``surveyed`` ones know the size of the network besides, as after their first refresh.
    ``organisations`` > 0 puts every honest node on a signed roster, spread evenly over so many.
    ``networks`` is over how many /24 the honest nodes are spread; 0 gives every node its own.
    ``node`` overrides limits of NodeConfig, ``links`` what happens to datagrams (virtual).
    """

    nodes: int = 100
    start: Literal["warm", "surveyed", "cold"] = "warm"
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
    ``years``: members publish and somebody asks, for years, see the table of that name.
    ``pause`` is the time between the starts of two operations, in seconds; 0 lets each wait for the
    one before. ``askers``: who does it, any honest node or the attack's ``victims``.
    """

    kind: Literal["find", "records", "providers", "idle", "years"] = "find"
    operations: int = 20
    targets: Literal["random", "one"] = "random"
    pause: float = 0.0
    versions: int = 1
    askers: Literal["anyone", "victims"] = "anyone"


class PopulationTable(_Table, frozen=True):
    """The honest votes of a poll, where an attack is on votes alone (engine ``columns``).

    ``polls`` independent polls are one trial. ``first`` and ``second`` are what is true of the two
    arms: the chance of a yes (``binary``), the mean (``numeric``) or survival at ``horizon``
    (``time-to-event``, Weibull of ``shape``, observed ``followed_from`` to ``followed_to`` days). A
    number has standard deviation ``spread`` and is from ``low`` to ``high``. ``cohort`` draws
    patients of this grade from the cohort of the demo instead, with replacement.

    ``per_arm`` honest cases come from ``issuers``, of ``sizes`` that are equal or fall with rank.
    ``icc`` is the intra-cluster correlation of an issuer's cases, the same rank in both arms.
    ``strangers`` is the share of honest cases off the roster, as old as those who keep coming; the
    packets arrive over ``days``. ``cohort_ratio`` of all cases are what the question asks about.
    ``min_cohort`` and ``flip_threshold`` are the reader's, see ``SynthesisConfig``. If ``watched``,
    it asks again and again from the onset on, and has the archive of all days.
    """

    kind: Literal["binary", "numeric", "time-to-event"] = "binary"
    polls: int = 25
    first: float = 0.6
    second: float = 0.5
    spread: float = 1.0
    low: float = 0.0
    high: float = 1.0
    horizon: int = 730
    shape: float = 1.3
    followed_from: int = 200
    followed_to: int = 2600
    cohort: str = ""
    per_arm: int = 500
    issuers: int = 20
    sizes: Literal["equal", "falling"] = "equal"
    icc: float = 0.0
    strangers: float = 0.0
    days: int = 30
    cohort_ratio: float = 1.0
    min_cohort: int = 11
    flip_threshold: float = 0.20
    watched: bool = False


class YearsTable(_Table, frozen=True):
    """What happens over simulated years (workload ``years``), with real nodes on ``virtual``.

    For ``days`` every organisation publishes ``cases`` a week, each of a random arm, with chances
    of a good outcome ``first`` and ``second``; a packet lives for ``lasts`` days. In the week
    after, ``verified_ratio`` of all cases, whoever published them, are published by another
    organisation as well, wrongly with ``error_ratio``. A member asks every ``asks`` days from day
    ``begins`` on: it retrieves the packets, and the archive of its replicas, and has the reputation
    that it made of what it read before. An hour of engine time is a week, so that limits of nodes
    that are in seconds, such as ``refresh_interval``, mean weeks.
    """

    days: int = 728
    cases: int = 6
    first: float = 0.6
    second: float = 0.5
    lasts: int = 56
    verified_ratio: float = 0.1
    error_ratio: float = 0.02
    asks: int = 28
    begins: int = 84


class AttackTable(_Table, frozen=True):
    """Who attacks, with what, and when.

    The budget is ``identities``, or ``share`` of all nodes, attackers included. They speak from
    ``hosts`` addresses in ``networks`` /24s; 0 gives each identity its own. ``arrival``: attackers
    joined with everybody else and were well-behaved until now (``settled``), or join when the
    attack begins. ``begins``: before the records are published, or after. ``lead`` seconds pass
    between the beginning of the attack and the first measured operation. ``enrolled`` attackers are
    on the roster, as an organisation each. ``victims`` honest nodes are aimed at. ``tries`` bounds
    the keys and hashes that attackers try for their identities; 0 gives them what they need.

    On ``columns`` the budget is cases: a share is one of all cases, attackers' included.
    ``standing`` is what others know of the keys behind them: ``fresh`` off the roster, first seen
    today; ``spread``, first seen over the days of the poll; ``aged`` off the roster, and patient;
    ``enrolled``, more cases of ``issuers`` members that are compromised, of all where that is 0;
    ``veterans``, honest cases of these that were taken over; ``hospitals``, every case of
    ``issuers`` members taken over, and the budget beside them. ``strangers`` fresh keys off the
    roster come on top, which costs nearly nothing. ``onset`` of the days pass before any of it
    arrives.
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
    standing: Standing = "fresh"
    issuers: int = 0
    strangers: int = 0
    onset: float = 0.0
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
    engine: Literal["live", "virtual", "model", "direct", "columns"] = "virtual"
    network: NetworkTable = NetworkTable()
    population: PopulationTable = PopulationTable()
    churn: ChurnTable = ChurnTable()
    workload: WorkloadTable = WorkloadTable()
    years: YearsTable = YearsTable()
    defenses: list[DefenseTable] = []
    seeds: SeedsTable = SeedsTable()
    gates: list[str] = []
    expected: list[Expected] = []
    grid: dict[str, list[Any]] = {}
    brakes: Limits = Limits()
