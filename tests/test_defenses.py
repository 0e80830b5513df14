"""Each defence of the outcomes helps against some poison, and costs honest data little."""

import random
from collections.abc import Sequence as Many
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from qisguard.config import NodeConfig
from qisguard.defenses import DEFENSES
from qisguard.defenses.age import Age
from qisguard.defenses.issuer_trim import IssuerTrim
from qisguard.defenses.leave_one_out import LeaveOneOut
from qisguard.defenses.one_vote import OneVote
from qisguard.defenses.sequence import Sequence
from qisguard.defenses.structure import Structure
from qisguard.identity.keys import KeyPair
from qisguard.lab.demo.cohort import REAL, SYNTHETIC, Patient, assign, bootstrap, load_cohort
from qisguard.outcomes.answer import Answer, State
from qisguard.outcomes.estimate import ISSUER_TRIMMED, issuer_estimate, pooled_estimate
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.survivals import Survivals
from qisguard.outcomes.synthesis import Evidence, SynthesisConfig, synthesize
from qisguard.outcomes.votes import Votes, collect
from qisguard.plugins import Accepts, Card, Defense, Settings, Tunes, Watches, Weighs
from tests.packets import ARMS, NETWORK, PATIENT, TODAY, Network, columns, sign, template

AUTHOR = KeyPair.from_seed(b"a" * 32)
CASE = b"c" * 16
OURS: dict[str, Defense] = {
    "structure": Structure(template()),
    "sequence": Sequence(),
    "one_vote": OneVote(),
    "age": Age(),
    "issuer_trim": IssuerTrim(),
    "leave_one_out": LeaveOneOut(),
}


@pytest.fixture
def hospitals() -> Network:
    """Grade II of GBSG2 in 20 hospitals; the truth is hormone."""
    network = Network(random.Random(11), 20)
    network.publish_cohort(load_cohort(REAL).with_grade("II"))
    return network


def ask(
    network: Network,
    *defenses: Defense,
    decide: str = "pooled",
    first_seen: dict[bytes, int] | None = None,
) -> Answer:
    return synthesize(
        network.packets,
        template(),
        network.roster,
        SynthesisConfig(decide=decide, fragility=False),
        defenses,
        ARMS,
        TODAY,
        first_seen or {},
    )


def votes_of(network: Network, first_seen: dict[bytes, int] | None = None) -> Votes:
    return collect(network.packets, network.roster, ARMS, TODAY, first_seen or {}).votes


@pytest.mark.parametrize("name", OURS)
def test_a_defence_is_registered_under_the_id_of_its_card_and_fills_a_seam(name: str) -> None:
    defense = OURS[name]
    assert DEFENSES[name] is type(defense)
    card = defense.card
    assert card.id == name
    assert all(getattr(card, word) for word in Card.__slots__)
    assert isinstance(defense, Accepts | Weighs | Tunes | Watches)


def test_on_honest_data_no_vote_is_lost_to_all_defences_together(hospitals: Network) -> None:
    answer = ask(hospitals, *OURS.values())
    assert (answer.cases, answer.dropped) == (444, {})
    assert answer.difference == ask(hospitals).difference


# --- structure -----------------------------------------------------------------------------------
def forged(**change: object) -> OutcomePacket:
    shape = template()
    fields: dict[str, object] = {
        "network": NETWORK,
        "template": shape.id,
        "key": shape.key(PATIENT.values),
        "case": CASE,
        "author": AUTHOR.public,
        "seq": 1,
        "day": TODAY,
        "exp": TODAY + 9,
        "arm": "hormone",
        "outcome": Outcome.after(700, 1),
        "feat": PATIENT.feat,
    }
    return sign_packet(packet_body(**(fields | change)), AUTHOR)  # type: ignore[arg-type]  # forgery


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"template": "breast-cancer/2"}, "another template"),
        ({"key": b"\x01" + bytes(31)}, "not a key of this template"),
        ({"day": TODAY + 2, "exp": TODAY + 9}, "observed in the future"),
        ({"day": TODAY + 1}, None),
        ({"arm": "placebo"}, "value outside the template"),
        ({"outcome": Outcome.after(10_001, 1)}, "value outside the template"),
        ({"feat": {"age": 4}}, "value outside the template"),
        ({"feat": {"shoe": 40}}, "value outside the template"),
    ],
)
def test_structure_refuses_what_no_case_could_have_produced(
    change: dict[str, object], reason: str | None
) -> None:
    refusal = Structure(template()).accept(forged(**change), None, TODAY)
    assert (refusal.reason if refusal else None) == (reason and f"structure: {reason}")


def test_structure_knows_keyed_keys_by_the_secret_only() -> None:
    shape = template()
    packet = forged(key=shape.key(PATIENT.values, b"s" * 32))
    assert Structure(shape, b"s" * 32).accept(packet, None, TODAY) is None
    assert Structure(shape).accept(packet, None, TODAY) is not None


def test_structure_saves_the_decision_from_impossible_values(hospitals: Network) -> None:
    """Immortals followed for two thousand years, from one hospital."""
    for _ in range(300):
        hospitals.publish(hospitals.keys[0], ARMS[1], 800_000, 0)
    assert ask(hospitals).decision == "no-hormone"
    defended = ask(hospitals, Structure(template()))
    assert defended.decision == "hormone"
    assert defended.dropped == {"structure: value outside the template": 300}


# --- sequence ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("held", "seq", "reason"),
    [
        (None, 1, None),
        (None, 10_000, None),
        (None, 10_001, "sequence jump"),
        (5, 6, None),
        (5, 10_005, None),
        (5, 10_006, "sequence jump"),
        (5, 5, "equivocation"),
        (5, 4, "stale version"),
        (5, 2**53 - 1, "sequence jump"),
    ],
)
def test_sequence_lets_numbers_rise_by_bounded_steps(
    held: int | None, seq: int, reason: str | None
) -> None:
    before = None if held is None else sign(AUTHOR, CASE, seq=held, time=1)
    refusal = Sequence().accept(sign(AUTHOR, CASE, seq=seq, time=2), before, TODAY)
    assert (refusal.reason if refusal else None) == reason


def test_sequence_keeps_a_stolen_key_from_burning_the_numbers_of_its_cases() -> None:
    """The thief publishes the last number there is; the owner's correction must still count."""
    network = Network(random.Random(1), 1)
    owner = network.keys[0]
    network.packets = [
        sign(owner, CASE, seq=1, time=100, event=1),
        sign(owner, CASE, seq=2**53 - 1, time=2000),
        sign(owner, CASE, seq=2, time=101, event=1),
    ]
    burnt = votes_of(network)
    assert burnt.value[burnt.current].tolist() == [2000.0]
    kept = collect(network.packets, network.roster, ARMS, TODAY, {}, [Sequence()]).votes
    assert kept.value[kept.current].tolist() == [101.0]


# --- one vote ------------------------------------------------------------------------------------
def test_one_vote_ends_ballot_stuffing_by_few_strangers(hospitals: Network) -> None:
    """The catalogue's replay: 5 ids x 200."""
    for _ in range(5):
        hospitals.poison(hospitals.key(), 100)
    assert ask(hospitals).decision == "no-hormone"
    defended = ask(hospitals, OneVote())
    assert defended.decision == "hormone"
    assert defended.cases == 449
    assert defended.dropped == {"no weight: one_vote": 995}


def test_one_vote_counts_a_case_once_however_often_it_is_revised(hospitals: Network) -> None:
    owner = hospitals.keys[0]
    for seq in range(1, 300):
        hospitals.packets.append(sign(owner, CASE, arm="hormone", time=30, event=1, seq=seq))
    assert ask(hospitals).decision == "no-hormone"
    assert ask(hospitals, OneVote()).decision == "hormone"


def test_one_vote_gives_a_stranger_exactly_one_vote_and_members_all_their_cases() -> None:
    network = Network(random.Random(2), 2)
    for author in (*network.keys, network.key()):
        network.poison(author, 3)
    votes = votes_of(network)
    weights = OneVote().weigh(votes, np.ones(len(votes)))
    assert weights[votes.enrolled].tolist() == [1.0] * 12
    assert weights[~votes.enrolled].sum() == 1.0


# --- age -----------------------------------------------------------------------------------------
def flood(network: Network, count: int) -> None:
    for _ in range(count):
        network.poison(network.key(), 1)


def test_age_keeps_a_flood_of_fresh_keys_from_deciding(hospitals: Network) -> None:
    """90 invented cases beside 444 true ones."""
    flood(hospitals, 45)
    assert ask(hospitals, OneVote()).decision == "no-hormone"
    assert ask(hospitals, OneVote(), Age()).decision == "hormone"


def test_newcomers_together_stay_under_their_cap_however_many_they_are() -> None:
    votes = columns([0] * 1100, [900] * 1100, [0] * 1100)
    votes.age[100:] = 0.0
    weights = Age().weigh(votes, np.ones(1100))
    assert weights[100:].sum() / weights.sum() == pytest.approx(0.10)
    few = Age().weigh(votes.where(np.arange(1100) < 110), np.ones(110))
    assert few[100:].tolist() == [0.05] * 10


def test_weight_grows_with_age_to_full_at_the_end_of_the_ramp() -> None:
    votes = columns([0] * 5, [900] * 5, [0] * 5)
    votes.age[:] = [0, 9, 45, 90, 4000]
    weights = Age(cap_ratio=0.99).weigh(votes, np.ones(5))
    assert weights.tolist() == pytest.approx([0.05, 0.1, 0.5, 1.0, 1.0])


def test_without_veterans_newcomers_are_not_capped() -> None:
    votes = columns([0] * 4, [900] * 4, [0] * 4)
    votes.age[:] = 0.0
    assert Age().weigh(votes, np.ones(4)).tolist() == [0.05] * 4


def test_age_does_not_help_against_patient_attackers(hospitals: Network) -> None:
    """What the card admits: keys attested long ago weigh as much as anybody."""
    flood(hospitals, 60)
    seen = {packet.digest: TODAY - 400 for packet in hospitals.packets}
    assert ask(hospitals, OneVote(), Age(), first_seen=seen).decision == "no-hormone"


# --- issuer trim ---------------------------------------------------------------------------------
def sampled(seed: int) -> tuple[Votes, Many[Many[Patient]]]:
    rng = random.Random(seed)
    wards = assign(bootstrap(load_cohort(SYNTHETIC).with_grade("II"), rng), 20, rng)
    rows = [(place, patient) for place, ward in enumerate(wards) for patient in ward]
    arm = [int(patient.arm != ARMS[0]) for _, patient in rows]
    time = [patient.time for _, patient in rows]
    event = [patient.event for _, patient in rows]
    return columns(arm, time, event, [place for place, _ in rows], 20), wards


def poisoned(votes: Votes, hospitals: int, each: int) -> Votes:
    """Return votes with ``each`` invented cases per arm in the first ``hospitals``."""
    issuer = np.repeat(np.arange(hospitals), 2 * each)
    arm = np.tile(np.arange(2), hospitals * each)
    return columns(
        [*votes.arm.tolist(), *arm.tolist()],
        [*votes.value.tolist(), *np.where(arm == 0, 30.0, 2000.0).tolist()],
        [*votes.event.tolist(), *(arm == 0).tolist()],
        [*votes.issuer.tolist(), *issuer.tolist()],
        20,
    )


def signs(votes: Votes) -> tuple[bool, bool]:
    """Return whether pooled votes and issuers decide for the second arm."""
    tally = Survivals.of(votes, np.ones(len(votes)), template().outcome, 730)
    pooled = pooled_estimate(tally)
    across = issuer_estimate(tally, IssuerTrim().trim_ratio)
    return pooled.difference < 0, across.difference < 0


def test_issuer_trim_tunes_the_decision_and_nothing_else() -> None:
    settings = Settings(NodeConfig(), SynthesisConfig(horizon=9))
    tuned = IssuerTrim(trim_ratio=0.2, min_issuers=7).tune(settings)
    assert tuned.node == settings.node
    assert tuned.synthesis == SynthesisConfig(
        horizon=9, decide=ISSUER_TRIMMED, trim_ratio=0.2, min_issuers=7
    )


def test_issuer_trim_withstands_two_hospitals_that_always_turn_the_pooled_decision() -> None:
    flips = np.array([signs(poisoned(sampled(seed)[0], 2, 100)) for seed in range(60)])
    assert flips[:, 0].all()
    assert flips[:, 1].mean() <= 0.25


def test_issuer_trim_fails_against_seven_hospitals() -> None:
    """What the card admits: beyond the trim there is nothing to hold on to."""
    flips = np.array([signs(poisoned(sampled(seed)[0], 7, 30)) for seed in range(10)])
    assert flips[:, 1].all()


def test_issuer_trim_costs_honest_data_few_decisions() -> None:
    flips = np.array([signs(sampled(seed)[0]) for seed in range(100)])
    assert flips[:, 1].sum() <= flips[:, 0].sum() + 8


# --- leave one out -------------------------------------------------------------------------------
def test_leave_one_out_names_the_hospital_that_decided_alone(hospitals: Network) -> None:
    hospitals.poison(hospitals.keys[7], 60)
    answer = ask(hospitals, LeaveOneOut())
    assert (answer.decision, answer.state) == ("no-hormone", State.SUSPECT)
    assert answer.flags[0].startswith("leave_one_out: without hospital-07 the difference is +0.")


def test_leave_one_out_names_a_flood_of_strangers(hospitals: Network) -> None:
    flood(hospitals, 100)
    answer = ask(hospitals, LeaveOneOut())
    assert answer.state is State.SUSPECT
    assert "without none" in answer.flags[0]


def test_leave_one_out_is_silent_on_honest_data_and_on_a_single_issuer(hospitals: Network) -> None:
    assert ask(hospitals, LeaveOneOut()).flags == ()
    alone = Network(random.Random(3), 1)
    for case in range(30):
        alone.publish(
            alone.keys[0], ARMS[case % 2], 100 if case % 4 == 1 else 900, int(case % 4 == 1)
        )
    assert ask(alone, LeaveOneOut()).flags == ()


def test_leave_one_out_is_silent_when_a_close_decision_hangs_on_whoever_is_left_out() -> None:
    without = 0.01 + 0.002 * np.linspace(-6, 1, 20)
    evidence = SimpleNamespace(
        issuers=tuple(f"hospital-{place:02d}" for place in range(20)),
        without=without,
        difference=0.01,
    )
    assert without.min() < 0
    assert LeaveOneOut().watch(cast(Evidence, evidence)) is None
    evidence.without = np.where(np.arange(20) == 3, -0.05, without)
    flag = LeaveOneOut().watch(cast(Evidence, evidence))
    assert flag is not None
    assert flag.reason.startswith("without hospital-03")


def test_leave_one_out_does_not_see_two_hospitals_that_collude(hospitals: Network) -> None:
    """What the card admits."""
    for author in hospitals.keys[:2]:
        hospitals.poison(author, 100)
    answer = ask(hospitals, LeaveOneOut())
    assert (answer.decision, answer.flags) == ("no-hormone", ())
