"""Attackers stay within what they may have, and scenarios say no to what cannot be."""

import random

import pytest

from qisguard.attacks import ATTACKS
from qisguard.config import NodeConfig
from qisguard.defenses.puzzles import Puzzles
from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import static_bits
from qisguard.lab.identities import Mine, SpentError
from qisguard.lab.scenario.loading import load_scenario, packaged, packaged_names
from qisguard.lab.trial.arms import Arm
from qisguard.lab.trial.engines import Job, run_job
from qisguard.lab.trial.tables import count_false
from qisguard.node.contact import Contact
from qisguard.plugins import Recruit, World

ROUTING = (
    "look_up_drop",
    "look_up_misroute",
    "look_up_false_closest",
    "look_up_slow",
    "sybil_at_key",
    "sybil_flood",
    "table_flood",
    "near_bucket_flood",
    "restart_eclipse",
    "bootstrap_poisoning",
    "colluding_adverts",
    "false_address",
    "id_spoofing",
    "churn_attack",
)


class Counting:
    """Hands out identities without puzzles, and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._network = Network("n", bytes(32), bytes(32), 0, 0)
        self._mine = Mine(self._network, random.Random(1).randbytes)

    def identity(self) -> Identity:
        """See ``Mint``."""
        self.count += 1
        return self._mine.identity()

    def nearer(self, place: NodeId, distance: int) -> Identity:
        """See ``Mint``."""
        self.count += 1
        identity = self._mine.nearer(place, distance)
        assert identity.id ^ place < distance
        return identity


def _world(budget: int) -> World:
    rng = random.Random(2)
    members = tuple(
        Contact(NodeId(rng.getrandbits(256)), (f"10.0.0.{i}", 4_000)) for i in range(1, 21)
    )
    places = tuple(NodeId(rng.getrandbits(256)) for _ in range(3))
    network = Network("n", bytes(32), bytes(32), 0, 0)
    return World(
        network, 20_000, budget, NodeConfig(), places, members=members, victims=members[:2]
    )


@pytest.mark.parametrize("name", ROUTING)
def test_an_attack_takes_its_budget_of_identities_and_no_more(name: str) -> None:
    mint = Counting()
    recruits: list[Recruit] = list(ATTACKS[name]().recruit(_world(7), mint, random.Random(3)))
    assert mint.count == len(recruits) == 7
    assert len({recruit.identity for recruit in recruits}) == 7
    assert not list(ATTACKS[name]().recruit(_world(0), mint, random.Random(3)))


def test_sybils_at_a_key_are_nearer_than_every_honest_node() -> None:
    world = _world(6)
    for i, recruit in enumerate(
        ATTACKS["sybil_at_key"]().recruit(world, Counting(), random.Random(1))
    ):
        place = world.places[i % 3]
        assert recruit.identity is not None
        assert recruit.identity.id ^ place < min(m.id ^ place for m in world.members)


def test_a_mint_counts_every_try_and_stops_at_its_budget() -> None:
    network = Network("n", bytes(32), bytes(32), 3, 4)
    mint = Mine(network, random.Random(1).randbytes, tries_max=500)

    identities: list[Identity] = []

    def make_all() -> None:
        while True:
            identities.append(mint.identity())

    with pytest.raises(SpentError, match="500 tries"):
        make_all()
    assert 500 / 24 / 2 < len(identities) < 500 / 24 * 2
    assert mint.tries > 500
    for identity in identities:
        assert static_bits(identity.id) >= 3
        network.check_puzzles(identity.id, identity.solution)


def test_an_entry_is_false_when_its_id_never_was_or_lives_elsewhere() -> None:
    here, there = ("10.0.0.1", 4_000), ("10.0.0.2", 4_000)
    homes = {NodeId(1): here, NodeId(2): there}
    right, moved, nobody = (Contact(NodeId(i), here) for i in (1, 2, 3))
    assert count_false([right, moved, nobody], homes) == (2, 3)
    assert count_false([], homes) == (0, 0)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("look_up_slow", {"seconds": 0.0}),
        ("sybil_at_key", {"lie": "shout"}),
        ("sybil_flood", {"lie": ""}),
        ("table_flood", {"period": 0.5}),
        ("near_bucket_flood", {"prefix_bits": 25}),
        ("near_bucket_flood", {"period": 0.0}),
        ("restart_eclipse", {"saved": 0}),
        ("restart_eclipse", {"bad_ratio": 1.5}),
        ("bootstrap_poisoning", {"of": 4}),
        ("bootstrap_poisoning", {"bad": 3, "of": 2}),
        ("colluding_adverts", {"called": -1}),
        ("whitewashing", {"identities": 0}),
    ],
)
def test_a_parameter_out_of_range_is_named(name: str, parameters: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=rf"^{'|'.join(parameters)} = "):
        ATTACKS[name](**parameters)


def test_puzzles_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="static_bits = 25, must be 0 to 24"):
        Puzzles(static_bits=25)


def test_puzzles_price_everybody_in_the_arms_that_have_them() -> None:
    loaded = load_scenario(packaged("whitewashing"))
    plain = Network("n", KeyPair.from_seed(bytes(32)).public, bytes(32), 0, 0)
    assert loaded.priced(Arm.ATTACKED, plain) == plain
    assert (loaded.priced(Arm.GUARDED, plain).c1, loaded.priced(Arm.GUARDED, plain).c2) == (6, 8)


def test_whitewashing_costs_next_to_nothing_without_puzzles_and_what_they_say_with_them() -> None:
    data = packaged("whitewashing")
    tries = [
        run_job(Job(data, {}, arm, 1)).values["identity_tries"]
        for arm in (Arm.ATTACKED, Arm.DEFENDED)
    ]
    assert tries[0] == 2
    assert 160 < tries[1] < 640


# --- what scenarios may say ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("victims = 5", "victims = 0", r"'victims': there are none"),
        ('askers = "victims"', "", r"attack.victims = 0: restart_eclipse needs somebody"),
        ("victims = 5", "victims = 98", r"attack.victims = 98, must be 0 to 97"),
        ("[attack]", "[churn]\nreplaced_ratio = 0.1\n[attack]", r"churn might replace them"),
        ('engine = "virtual"', 'engine = "live"', r"needs a simulated network"),
    ],
)
def test_victims_have_to_be_there_and_to_stay(old: str, new: str, message: str) -> None:
    text = packaged("restart-eclipse").decode().replace(old, new, 1)
    if not new:
        text = text.replace("victims = 5", "victims = 0")
    text = text.replace("operations = 20", "operations = 20\npause = 1.0")
    with pytest.raises(ScenarioError, match=message):
        load_scenario(text.encode())


def test_victims_ask_only_where_there_are_some() -> None:
    text = packaged("table-flood").decode().replace("[attack]", 'askers = "victims"\n[attack]')
    with pytest.raises(ScenarioError, match=r"workload.askers = 'victims': there are none"):
        load_scenario(text.encode())


def test_every_packaged_scenario_loads_under_its_own_name() -> None:
    for name in packaged_names():
        loaded = load_scenario(packaged(name))
        assert loaded.scenario.name == name
        assert loaded.scenario.title
        assert loaded.scenario.seeds.count >= 5
