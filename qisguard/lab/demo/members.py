"""The people of a run: authority, hospitals, their keys, nodes and patients, and the Sybil pool.

Everything follows from one seed, so two networks of one seed differ in their defences alone. Keys
come from ``draw``: a seeded generator on ``virtual``, the operating system on ``live``.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from qisguard.identity.descriptor import Identity
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw
from qisguard.identity.roster import Issuer, Roster
from qisguard.lab.demo.cohort import Patient
from qisguard.lab.demo.scenario import Loaded
from qisguard.lab.identities import mine, price
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.template import Template

PACKET_DAYS = 3_650
"""Outcomes stay in the network for ten years."""


@dataclass(frozen=True, slots=True)
class Hospital:
    """One issuer: an author key for all its cases, and its nodes."""

    name: str
    author: KeyPair
    identities: tuple[Identity, ...]
    enrolled: int
    packets: tuple[OutcomePacket, ...]


@dataclass(frozen=True, slots=True)
class Members:
    """Everybody, honest or not, before the first datagram."""

    authority: KeyPair
    network: Network
    roster: Roster
    hospitals: tuple[Hospital, ...]
    sybils: tuple[Identity, ...]
    mining_seconds: float


def make_members(
    loaded: Loaded,
    wards: Sequence[Sequence[Patient]],
    sybil_keys: Sequence[KeyPair],
    draw: Draw,
    rng: random.Random,
) -> Members:
    """Return the members of one run; ``wards`` holds the patients of each hospital.

    ``sybil_keys`` solved the static puzzle; the dynamic one is solved here, for this network.
    """
    table = loaded.scenario.network
    authority = KeyPair.from_seed(draw(32))
    network = Network(
        loaded.scenario.name,
        authority.public,
        draw(32),
        table.static_puzzle_bits,
        table.dynamic_puzzle_bits,
    )
    start = time.perf_counter()
    nodes = [
        tuple(mine(network, draw) for _ in range(table.nodes_per_issuer))
        for _ in range(table.issuers)
    ]
    sybils = tuple(price(network, key, draw) for key in sybil_keys)
    mining_seconds = time.perf_counter() - start
    hospitals = []
    for index, (identities, ward) in enumerate(zip(nodes, wards, strict=True)):
        author = KeyPair.from_seed(draw(32))
        packets = tuple(
            sign_case(network, loaded.template, patient, author, loaded.first_day, draw(16))
            for patient in ward
        )
        enrolled = loaded.first_day - rng.randint(*loaded.scenario.clock.enrolled_days)
        name = f"hospital-{index + 1:02d}"
        hospitals.append(Hospital(name, author, identities, enrolled, packets))
    issuers = tuple(
        Issuer(h.name, h.enrolled, (h.author.public,), tuple(i.id for i in h.identities))
        for h in hospitals
    )
    roster = Roster(network.id, 1, issuers)
    return Members(authority, network, roster, tuple(hospitals), sybils, mining_seconds)


def sign_case(
    network: Network, template: Template, patient: Patient, author: KeyPair, day: int, case: bytes
) -> OutcomePacket:
    """Return the signed packet about one patient."""
    return sign_packet(
        packet_body(
            network=network.id,
            template=template.id,
            key=template.key(patient.values),
            case=case,
            author=author.public,
            seq=1,
            day=day,
            exp=day + PACKET_DAYS,
            arm=patient.arm,
            outcome=Outcome.after(patient.time, patient.event),
            feat=dict(patient.feat),
        ),
        author,
    )
