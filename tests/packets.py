"""Signed packets, rosters and votes for the tests of outcomes and defences."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from qisguard.identity.keys import KeyPair
from qisguard.identity.roster import Issuer, Roster
from qisguard.lab.demo.cohort import Cohort, Patient, assign
from qisguard.outcomes.packet import TIME_TO_EVENT, Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.template import Template, open_template
from qisguard.outcomes.votes import Votes

NETWORK = bytes(32)
TODAY = 20_000
ENROLLED = 19_000
ARMS = ("hormone", "no-hormone")
TEMPLATE_FILE = Path(__file__).parents[1] / "scenarios" / "templates" / "breast-cancer.toml"
PATIENT = Patient("hormone", 50, "Post", 25, "II", 3, 40, 50, 800, 0)


def template() -> Template:
    return open_template(TEMPLATE_FILE.read_bytes())


def sign(
    author: KeyPair,
    case: bytes,
    *,
    patient: Patient = PATIENT,
    arm: str = "hormone",
    time: int = 800,
    event: int = 0,
    seq: int = 1,
    day: int = TODAY,
    exp: int = TODAY + 400,
    network: bytes = NETWORK,
) -> OutcomePacket:
    """Return one packet; the case is what ``patient`` has in common with others."""
    shape = template()
    body = packet_body(
        network=network,
        template=shape.id,
        key=shape.key(patient.values),
        case=case,
        author=author.public,
        seq=seq,
        day=day,
        exp=exp,
        arm=arm,
        outcome=Outcome.after(time, event),
        feat=patient.feat,
    )
    return sign_packet(body, author)


@dataclass
class Network:
    """Hospitals with author keys, and everything that was published."""

    rng: random.Random
    hospitals: int
    enrolled: int = ENROLLED
    keys: list[KeyPair] = field(init=False)
    packets: list[OutcomePacket] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.keys = [self.key() for _ in range(self.hospitals)]

    def key(self) -> KeyPair:
        """Return a fresh author key, on nobody's roster."""
        return KeyPair.from_seed(self.rng.randbytes(32))

    @property
    def roster(self) -> Roster:
        """Return the roster: one author key a hospital."""
        return Roster(
            NETWORK,
            1,
            tuple(
                Issuer(f"hospital-{place:02d}", self.enrolled, (key.public,), ())
                for place, key in enumerate(self.keys)
            ),
        )

    def publish(self, author: KeyPair, arm: str, time: int, event: int) -> None:
        """Publish a new case."""
        case = self.rng.randbytes(16)
        self.packets.append(sign(author, case, arm=arm, time=time, event=event))

    def publish_cohort(self, cohort: Cohort) -> None:
        """Publish every patient from the hospital that they are dealt to."""
        wards = assign(cohort, self.hospitals, self.rng)
        for author, ward in zip(self.keys, wards, strict=True):
            for p in ward:
                case = self.rng.randbytes(16)
                self.packets.append(
                    sign(author, case, patient=p, arm=p.arm, time=p.time, event=p.event)
                )

    def poison(self, author: KeyPair, count: int, late: int = 30) -> None:
        """Publish ``count`` invented cases in each arm that speak for the second arm."""
        for _ in range(count):
            self.publish(author, ARMS[0], late, 1)
            self.publish(author, ARMS[1], 2000, 0)


def columns(
    arm: Sequence[int],
    time: ArrayLike,
    event: Sequence[int],
    issuer: Sequence[int] | None = None,
    issuers: int = 1,
    kind: str = TIME_TO_EVENT,
) -> Votes:
    """Return votes without packets: enrolled, aged, one case each."""
    size = len(arm)
    rows = np.arange(size)
    yes = np.ones(size, np.bool_)
    places = np.zeros(size, np.int64) if issuer is None else np.array(issuer, np.int64)
    return Votes(
        kind,
        tuple(f"hospital-{place:02d}" for place in range(issuers)),
        places,
        places,
        rows,
        np.array(arm, np.int64),
        np.array(time, np.float64),
        np.array(event, np.bool_),
        np.full(size, TODAY),
        np.full(size, 1000.0),
        yes,
        yes,
    )
