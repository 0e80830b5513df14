"""Every point where qisguard is extended, on one page.

1. An engine drives ``Endpoint``s and knows nothing else: an honest node is one, an attacker is any
   other.
2. An endpoint owns no socket, clock, thread or randomness: it returns ``Effect``s and the engine
   performs them.
3. The engine calls ``flush()`` before it performs effects: nothing is acknowledged that is not
   durable.
4. Plug-ins are frozen values: parameters are fields; state, time and ``rng`` are arguments.
5. Registries are dict literals: ``attacks.ATTACKS``, ``defenses.DEFENSES``, ``reports.RENDERERS``,
   ``audit.findings.CHECKS``.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:  # names for annotations only: at run time this page depends on nothing
    import numpy as np
    from numpy.typing import NDArray

    from qisguard.config import NodeConfig
    from qisguard.identity.address import Address
    from qisguard.identity.descriptor import Identity
    from qisguard.identity.ids import NodeId
    from qisguard.identity.keys import KeyPair
    from qisguard.identity.network import Network
    from qisguard.node.contact import Contact
    from qisguard.node.messages import Reply, Request
    from qisguard.node.node import Node
    from qisguard.outcomes.ballots import Ballots, Poll
    from qisguard.outcomes.packet import OutcomePacket
    from qisguard.outcomes.synthesis import Evidence, SynthesisConfig
    from qisguard.outcomes.votes import Votes


# --- what runs -----------------------------------------------------------------------------------
class Send(NamedTuple):
    """Send one datagram; a tuple because it is made for every one.

    ``source`` is set by spoofers alone: a simulated network delivers it, a real socket refuses it.
    """

    data: bytes
    to: "Address"
    source: "Address | None" = None


Effect: TypeAlias = Send


class Endpoint(Protocol):
    """Anything with an address. The same calls in the same order give the same effects."""

    def receive_datagram(self, data: bytes, source: "Address", now: float) -> None:
        """Take one datagram, whatever it holds."""

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""

    def next_timer(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""

    def flush(self) -> None:
        """Make durable what the pending effects acknowledge: store and trail."""

    def effects(self) -> Sequence[Effect]:
        """Return and forget the pending effects."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How an engine's seconds map to calendar days; owned by engines alone.

    Machines count seconds (timeouts, sessions, record expiry); medicine and membership count days
    (enrolment, ages, observed day). ``rate`` > 1 lets a one-minute run age its identities, and is
    printed beside every result: 86,400 makes one second a day.
    """

    first_day: int
    rate: float = 1.0

    def day(self, now: float) -> int:
        """Return the calendar day (days since 1970-01-01) at engine time ``now``, in seconds."""
        return self.first_day + int(now * self.rate // 86_400)


# --- cards ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Card:
    """What a plug-in is, in the reader's words. ``seen`` is what an operator would notice."""

    id: str
    family: str
    summary: str
    capability: str
    breaks: str
    source: str
    seen: str
    limits: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refusal or a flag: data, never an exception."""

    reason: str


# --- who attacks: one object for live and virtual ------------------------------------------------
class Behaviour(Protocol):
    """``Node(..., behaviour=b)``: the honest node computes, the liar edits; colluders share it."""

    def answer(
        self, node: "Node", sender: "NodeId", request: "Request", honest: "Reply", now: float
    ) -> "Reply | None":
        """Return the reply to send instead of ``honest``, or None to stay silent."""

    def act(self, node: "Node", now: float) -> float | None:
        """Take the initiative; return when to be called again, or None."""


@dataclass(frozen=True, slots=True)
class Insider:
    """A roster member as an attacker finds it after a break-in: its node, author key and cases."""

    issuer: str
    node: "NodeId"
    author: "KeyPair"
    packets: tuple["OutcomePacket", ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What poisoners know of the query that they want to turn round.

    ``keys`` are its similarity keys, ``target`` the arm that is to lose, ``other`` the arm that is
    to win, ``horizon`` the day the decision looks at. Where it is asked over years, ``chances`` are
    those of a good outcome under the two, and packets live for ``lasts`` days.
    """

    keys: tuple[bytes, ...]
    target: str
    other: str
    horizon: int
    template: str
    example: "OutcomePacket"
    insiders: tuple[Insider, ...]
    chances: tuple[float, ...] = ()
    lasts: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """What the card lets an attacker know: everything that a participant could learn.

    ``budget`` is how many identities it may have, ``places`` whose look-ups and records it attacks,
    ``keys`` the similarity keys that lie there, where records do (the index tells them to anybody),
    ``members`` the honest nodes and where they live, ``victims`` those that it aims at, if any.
    """

    network: "Network"
    today: int
    budget: int
    config: "NodeConfig"
    places: tuple["NodeId", ...] = ()
    keys: tuple[bytes, ...] = ()
    members: tuple["Contact", ...] = ()
    victims: tuple["Contact", ...] = ()
    question: Question | None = None


class Mint(Protocol):
    """Where attackers get identities: every one pays both puzzles of the network.

    It may refuse more before the budget is used up, by an exception that ends ``recruit``: whoever
    yields recruits one by one keeps those made so far.
    """

    def identity(self) -> "Identity":
        """Return a fresh identity with a random id."""

    def nearer(self, place: "NodeId", distance: int) -> "Identity":
        """Return a fresh identity whose id is less than ``distance`` (XOR) from ``place``."""


MakeEndpoint: TypeAlias = Callable[["Address"], Endpoint]


@dataclass(frozen=True, slots=True)
class Recruit:
    """One attacker: a lying node (``plays``), or any other endpoint (``speaks``).

    A lying node is a fresh identity, or a member's node taken over (``takes``). One that ``leaves``
    was honest and is gone when the attack begins. An endpoint that uses an ``identity`` names it:
    honest tables may hold it like that of a node, and then it counts as an attacker there.
    """

    plays: Behaviour | None = None
    identity: "Identity | None" = None
    takes: "NodeId | None" = None
    speaks: MakeEndpoint | None = None
    leaves: bool = False


class Attack(Protocol):
    """A card, parameters as fields, and the identities it needs."""

    @property
    def card(self) -> Card:
        """Return what this attack is."""

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return attackers, at most ``world.budget`` of them with identities from ``mint``."""


@runtime_checkable
class Restarts(Protocol):
    """An attack on nodes that start: the world's victims crash once, and begin with empty tables.

    They restart in every trial, so that those without the attack show what restarting costs.
    """

    def known(
        self,
        bootstraps: Sequence["Contact"],
        attackers: Sequence["Contact"],
        rng: random.Random,
    ) -> Sequence["Contact"]:
        """Return whom a victim starts with; without attackers, honest nodes alone."""


Counted: TypeAlias = tuple[int, int] | float
"""What a metric counted: successes and tries, or a number."""


@runtime_checkable
class Tells(Protocol):
    """A behaviour or endpoint that counts what came of its attack, by metric."""

    def tell(self) -> Mapping[str, Counted]:
        """Return this attacker's own counts; those of all attackers are added up."""


@runtime_checkable
class Overhears(Protocol):
    """An endpoint on the path of everybody's datagrams: it sees copies, and changes none."""

    def overhear(self, data: bytes, source: "Address", to: "Address", now: float) -> None:
        """Take a copy of one datagram under way."""


@runtime_checkable
class Spoofs(Protocol):
    """An attack that sends with false sources or overhears: only a simulated network lets it."""

    @property
    def spoofs(self) -> bool:
        """Return whether it does."""


@dataclass(frozen=True, slots=True)
class ArrayAttack:
    """What the array engine needs to know of an attack on look-ups.

    ``lie``: ``drop`` never answers, ``collude`` names attackers nearer to the target. ``placed``:
    the ids are the closest to the place under attack, otherwise random.
    """

    lie: str
    placed: bool = False


@runtime_checkable
class ArrayForm(Protocol):
    """An attack that ``model`` can play; the two forms are compared where both can run."""

    def array(self) -> ArrayAttack:
        """Return the attack's array form."""


@runtime_checkable
class Computes(Protocol):
    """An attack on a function rather than on a network: the ``direct`` engine calls it."""

    def compute(self, world: World, defended: bool, rng: random.Random) -> Mapping[str, Counted]:
        """Return what came of it, by metric."""


@runtime_checkable
class Poisons(Protocol):
    """An attack on votes: the ``columns`` engine lets it cast ballots from the seats it has.

    ``sees_votes``: it knows every honest vote, which an omniscient attacker does.
    """

    @property
    def sees_votes(self) -> bool:
        """Return whether the poll shows it the honest votes."""

    def poison(self, poll: "Poll", rng: "np.random.Generator") -> "Ballots":
        """Return what it casts, from the seats of the poll and no others."""


class Rehearsed(NamedTuple):
    """What a poisoner would have got: polls flipped, flipped and called ok, and the mean margin.

    The first two are ratios; a margin is a difference of the arms in favour of the worse one: the
    decision's, and that of the means beside it, where there are any.
    """

    flipped: float
    unnoticed: float
    margin: float
    mean_margin: float


@runtime_checkable
class Adapts(Protocol):
    """A poisoner that knows the defences: it rehearses on polls of its own making."""

    def adapt(self, rehearse: Callable[[Poisons, int], Rehearsed]) -> tuple[Poisons, str]:
        """Return the best poisoner it found, and that in words.

        ``rehearse(poisoner, count)`` plays the first ``count`` of its polls, always the same.
        """


# --- who defends: a card and any of seven seams --------------------------------------------------
@dataclass(frozen=True, slots=True)
class Settings:
    """What ``tune`` may change before anything runs."""

    node: "NodeConfig"
    synthesis: "SynthesisConfig"


class Defense(Protocol):
    """A card, parameters as fields, and one or more of the seams below."""

    @property
    def card(self) -> Card:
        """Return what this defence is."""


@runtime_checkable
class Tunes(Protocol):
    """Changes configuration: paths, replicas, budgets, how the answer decides."""

    def tune(self, settings: Settings) -> Settings:
        """Return the settings to use."""


@runtime_checkable
class Prices(Protocol):
    """Changes what an identity costs everybody: the puzzles of the network file."""

    def price(self, network: "Network") -> "Network":
        """Return the network with its puzzles set."""


@runtime_checkable
class Admits(Protocol):
    """Decides who may enter the routing table; the first refusal wins."""

    def admit(
        self,
        contact: "Contact",
        bucket: Sequence["Contact"],
        table: Collection["Contact"],
        now: float,
    ) -> Rejected | None:
        """Return a refusal, or None; asked again when an address changes or a place becomes free.

        ``bucket`` and ``table`` hold the contacts already there, without this one.
        """


@runtime_checkable
class Routes(Protocol):
    """A pipeline over look-up candidates; may drop and reorder, never add."""

    def route(
        self, target: "NodeId", candidates: Sequence["Contact"], now: float
    ) -> Sequence["Contact"]:
        """Return the candidates to use, in order."""


@runtime_checkable
class Accepts(Protocol):
    """Decides about one packet, at the bucket and again at the reader; the first refusal wins."""

    def accept(
        self, packet: "OutcomePacket", held: "OutcomePacket | None", today: int
    ) -> Rejected | None:
        """Return a refusal, or None; ``held`` is the current packet of the same (author, case)."""


@runtime_checkable
class Weighs(Protocol):
    """A pipeline over whole columns, in the scenario's order; never a loop over packets."""

    def weigh(self, votes: "Votes", weights: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return (n,) weights >= 0; zero removes a vote."""


@runtime_checkable
class Watches(Protocol):
    """A detector: raises a flag, never deletes.

    A reason that begins with ``drift`` says that the world moved rather than somebody.
    """

    def watch(self, evidence: "Evidence") -> Rejected | None:
        """Return a flag, or None."""


@runtime_checkable
class Inspects(Protocol):
    """A detector of ids that crowd around a key: raises a flag, never deletes."""

    def inspect(self, target: "NodeId", found: Sequence["NodeId"], size: float) -> Rejected | None:
        """Return a flag, or None; ``size`` is the number of nodes that the caller believes in."""


# --- who tells -----------------------------------------------------------------------------------
class Renderer(Protocol):
    """A pure function of a result folder."""

    @property
    def suffix(self) -> str:
        """Return the file suffix, such as ``.html``."""

    def render(self, folder: Mapping[str, bytes]) -> bytes:
        """Return the report."""
