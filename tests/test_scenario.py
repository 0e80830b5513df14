"""A scenario that cannot be run as written says so before anything runs."""

import re

import pytest

from qisguard.attacks import ATTACKS
from qisguard.defenses import DEFENSES
from qisguard.errors import ScenarioError
from qisguard.identity.roster import Roster
from qisguard.lab.demo.scenario import load_scenario, packaged
from qisguard.lab.toml import SIZE_MAX
from tests.stories import scenario

STEPS = """
[[steps]]
name = "clean"
[[steps]]
name = "one hospital"
hospitals = 1
[[steps]]
name = "recovered"
[[steps]]
name = "8 sybils"
sybils = 8
[[steps]]
name = "16 sybils"
sybils = 16
[seeds]
live = 1
virtual = 20
quick = 5
"""
DEMO = packaged("demo.toml").decode().partition("[[steps]]")[0] + STEPS
"""The demo with steps and seeds of our own, so that it can be tuned without these tests."""


def _refused(old: str, new: str) -> str:
    """Return why the demo is refused after one replacement."""
    assert old in DEMO
    with pytest.raises(ScenarioError) as caught:
        load_scenario(DEMO.replace(old, new, 1).encode())
    return str(caught.value)


def test_the_packaged_demo_loads() -> None:
    loaded = load_scenario(packaged("demo.toml"))
    table = loaded.scenario
    assert [run.name for run in table.networks] == ["undefended", "defended"]
    assert set(table.networks[1].defenses) <= set(DEFENSES)
    assert set(table.attacks) <= set(ATTACKS)
    assert (loaded.node.k, loaded.node.alpha, loaded.node.replica_count) == (8, 3, 5)
    assert loaded.template.id == "breast-cancer/1"
    assert loaded.links.latency == (0.005, 0.025)
    assert loaded.first_day == 20_454
    assert loaded.sybils_max == max(step.sybils for step in table.steps) > 0
    assert len(loaded.digest) == 64


def test_the_small_scenario_of_the_tests_loads() -> None:
    assert load_scenario(scenario()).scenario.network.issuers == 6


def test_parameters_reach_attacks_and_defences() -> None:
    text = DEMO.replace("invented = 10", "invented = 7").replace(
        "[attacks.sybil_poisoning]",
        "[networks.parameters]\nage = { ramp = 30 }\nissuer_trim = { trim_ratio = 0.2 }\n"
        "roster_routing = { replicas_per_issuer = 1 }\n[attacks.sybil_poisoning]",
    )
    loaded = load_scenario(text.encode())
    run = loaded.scenario.networks[1]
    defenses = loaded.defenses(run, Roster(b"", 0, ()))
    settings = loaded.settings(run, defenses)
    assert loaded.attacks()["compromised_hospital"] == ATTACKS["compromised_hospital"](invented=7)
    assert DEFENSES["age"](ramp=30) in defenses
    assert settings.synthesis.trim_ratio == 0.2
    assert settings.synthesis.horizon == 730
    assert (settings.node.replica_rule, settings.node.replicas_per_issuer) == ("roster", 1)
    plain = loaded.scenario.networks[0]
    assert loaded.settings(plain, []).node == loaded.node


@pytest.mark.parametrize(
    ("old", "new", "place", "hint"),
    [
        ("title =", "titel =", "scenario", "did you mean 'title'?"),
        ("[seeds]", "[sedes]", "scenario", "did you mean 'seeds'?"),
        ("issuers = 20", "isuers = 20", "network", "did you mean 'issuers'?"),
        ("k = 8", "kk = 8", "network.node", "did you mean 'k'?"),
        ("alpha = 3", "alhpa = 3", "network.node", "did you mean 'alpha'?"),
        ("loss_ratio = 0.0", "loss_ration = 0.0", "network.links", "did you mean 'loss_ratio'?"),
        ("rate = 86400.0", "rte = 86400.0", "clock", "did you mean 'rate'?"),
        ("horizon = 730", "horizn = 730", "question", "did you mean 'horizon'?"),
        ("defenses = []", "defences = []", "networks[0]", "did you mean 'defenses'?"),
        ("sybils = 8", "sybil = 8", "steps[3]", "did you mean 'sybils'?"),
        ("live = 1", "life = 1", "seeds", "did you mean 'live'?"),
        ("sybils = 8", "zzz = 8", "steps[3]", "allowed: hospitals, name, sybils"),
        ("packets_each", "packets_eech", "attacks.sybil_poisoning", "did you mean 'packets_each'?"),
        ("invented", "zzz", "attacks.compromised_hospital", "allowed: invented"),
    ],
)
def test_an_unknown_key_is_named_with_its_table_and_the_nearest_key(
    old: str, new: str, place: str, hint: str
) -> None:
    key = new.split(" ")[0].strip("[]")
    assert _refused(old, new) == f"{place}: unknown key {key!r}; {hint}"


def test_an_unknown_table_at_the_top_is_named_with_the_nearest() -> None:
    text = DEMO.replace("[attacks.", "[atack.")
    with pytest.raises(ScenarioError, match=r"^scenario: unknown key 'atack'; .* 'attacks'\?$"):
        load_scenario(text.encode())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("issuers = 20", 'issuers = "20"', "network.issuers = '20': expected `int`, got `str`"),
        ("issuers = 20", "issuers = true", "network.issuers = True: expected `int`, got `bool`"),
        ("issuers = 20", "issuers = 20.5", "network.issuers = 20.5: expected `int`, got `float`"),
        ("rate = 86400.0", "rate = true", "clock.rate = True: expected `float`, got `bool`"),
        ("sybils = 8", "sybils = true", "steps[3].sybils = True: expected `int`, got `bool`"),
        ("hospitals = 1", "hospitals = []", "steps[1].hospitals = []: expected `int`"),
        ("trails = true", "trails = 1", "networks[1].trails = 1: expected `bool`, got `int`"),
        ("defenses = []", "defenses = [1]", "networks[0].defenses[0] = 1: expected `str`"),
        ("defenses = []", 'defenses = "age"', "networks[0].defenses = 'age': expected `array`"),
        ("[200, 2000]", "[200]", "clock.enrolled_days = [200]: expected `array` of length 2"),
        ("[200, 2000]", "[true, 2000]", "clock.enrolled_days[0] = True: expected `int`"),
        ('"2026-01-01"', "2026-01-01", "clock.first_day = datetime.date(2026, 1, 1): expected"),
        ('grade = "II"', "grade = true", "question.values = {'grade': True}: expected `int |"),
        ("quick = 5", "quick = nan", "seeds.quick = nan: expected `int`, got `float`"),
        ("live = 1\n", "", "seeds: 'live' is missing"),
        ("k = 8", "k = 8.0", "network.node.k = 8.0, must be int"),
        ("k = 8", "k = true", "network.node.k = True, must be int"),
        ("k = 8", "replica_rule = 1", "network.node.replica_rule = 1, must be one of closest, "),
        (
            "address_diversity = false",
            "address_diversity = 1",
            "network.node.address_diversity = 1, must be bool",
        ),
        ("= 5000.0", '= "x"', "network.node.auths_per_second = 'x', must be float"),
        ("loss_ratio = 0.0", "loss_ratio = false", "network.links.loss_ratio = False, must be"),
        ("[0.005, 0.025]", "[true, true]", "network.links.latency = [True, True], must be"),
        ("[0.005, 0.025]", "0.005", "network.links.latency = 0.005, must be"),
        ("[0.005, 0.025]", '["a", "b"]', "network.links.latency = ['a', 'b'], must be"),
        ("each = 1", "each = 1.5", "attacks.sybil_poisoning.packets_each = 1.5, must be int"),
        ("each = 1", "each = 'x'", "attacks.sybil_poisoning.packets_each = 'x', must be int"),
        ("= 0.75", "= true", "attacks.sybil_poisoning.target_ratio = True, must be float"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_key(old: str, new: str, message: str) -> None:
    assert _refused(old, new).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("issuers = 20", "issuers = 1", "network.issuers = 1, must be 2 to 500"),
        ("issuers = 20", "issuers = -20", "network.issuers = -20, must be 2 to 500"),
        ("issuers = 20", "issuers = 501", "network.issuers = 501, must be 2 to 500"),
        ("_issuer = 2", "_issuer = 0", "network.nodes_per_issuer = 0, must be 1 to 100"),
        ("_issuer = 2", "_issuer = 101", "network.nodes_per_issuer = 101, must be 1 to 100"),
        ("static_puzzle_bits = 8", "static_puzzle_bits = -1", "bits = -1, must be 0 to 24"),
        ("static_puzzle_bits = 8", "static_puzzle_bits = 25", "bits = 25, must be 0 to 24"),
        ("dynamic_puzzle_bits = 8", "dynamic_puzzle_bits = 25", "bits = 25, must be 0 to 24"),
        ("rate = 86400.0", "rate = 0.5", "clock.rate = 0.5, must be 1 to 31622400"),
        ("rate = 86400.0", "rate = -1", "clock.rate = -1.0, must be 1 to 31622400"),
        ("rate = 86400.0", "rate = 31622401", "clock.rate = 31622401.0, must be 1 to 31622400"),
        ("rate = 86400.0", "rate = nan", "clock.rate = nan, must be 1 to 31622400"),
        ("rate = 86400.0", "rate = inf", "clock.rate = inf, must be 1 to 31622400"),
        ("rate = 86400.0", "rate = 1e999", "clock.rate = inf, must be 1 to 31622400"),
        ("[200, 2000]", "[-1, 2000]", "clock.enrolled_days[0] = -1, must be 0 to 2000"),
        ("[200, 2000]", "[2001, 2000]", "clock.enrolled_days[0] = 2001, must be 0 to 2000"),
        ("[200, 2000]", "[0, 20001]", "clock.enrolled_days[1] = 20001, must be 0 to 20000"),
        ("horizon = 730", "horizon = 0", "question.horizon = 0, must be 1 to 100000"),
        ("horizon = 730", "horizon = 10001", "question.horizon = 10001, not 0 to 10000 days"),
        ("live = 1", "live = -1", "seeds.live = -1, must be 0 to 100"),
        ("live = 1", "live = 101", "seeds.live = 101, must be 0 to 100"),
        ("virtual = 20", "virtual = 100001", "seeds.virtual = 100001, must be 0 to 100000"),
        ("quick = 5", "quick = 21", "seeds.quick = 21, must be 0 to 20"),
        ("hospitals = 1", "hospitals = 20", "steps.one hospital.hospitals = 20, must be 0 to 19"),
        ("hospitals = 1", "hospitals = -1", "steps.one hospital.hospitals = -1, must be 0 to 19"),
        ("sybils = 8", "sybils = 10001", "steps.8 sybils.sybils = 10001, must be 0 to 10000"),
        ("sybils = 8", "sybils = -8", "steps.8 sybils.sybils = -8, must be 0 to 10000"),
        ("sybils = 16", "sybils = 7", "steps.16 sybils.sybils = 7, must be 8 to 10000"),
        ("sybils = 16", "hospitals = 1", "steps.16 sybils.sybils = 0, must be at least 8"),
        ("[0.005, 0.025]", "[nan, nan]", "network.links.latency = [nan, nan], must be [low, hi"),
        ("[0.005, 0.025]", "[0.0, 0.0]", "network.links.latency = [0.0, 0.0], must be [low, hi"),
        ("[0.005, 0.025]", "[0.3, 0.2]", "network.links.latency = [0.3, 0.2], must be [low, hi"),
        ("[0.005, 0.025]", "[0.3, inf]", "network.links.latency = [0.3, inf], must be [low, hi"),
        ("[0.005, 0.025]", "[0.3]", "network.links.latency = [0.3], must be [low, high]"),
        ("loss_ratio = 0.0", "loss_ratio = 1.0", "network.links.loss_ratio = 1.0, must be 0 to"),
        ("loss_ratio = 0.0", "loss_ratio = -0.1", "network.links.loss_ratio = -0.1, must be 0"),
        ("loss_ratio = 0.0", "loss_ratio = nan", "network.links.loss_ratio = nan, must be 0 to"),
        ("k = 8", "k = 0", "network.node: node.k = 0, must be 1 to 20 contacts"),
        ("k = 8", "k = 21", "network.node: node.k = 21, must be 1 to 20 contacts"),
        ("k = 8", "request_timeout = 0.0", "network.node: node.request_timeout = 0.0, must be"),
        ("k = 8", "packets_per_key_max = -1", "network.node.packets_per_key_max = -1, must be 0"),
        ("= 5000.0", "= nan", "network.node.auths_per_second = nan, must be 0 to"),
        ("= 5000.0", "= inf", "network.node.auths_per_second = inf, must be 0 to"),
        ("k = 8", "record_lifetime = 1e300", "network.node.record_lifetime = 1e+300, must be"),
        ("each = 1", "each = 0", "attacks.sybil_poisoning: packets_each = 0, must be 1 to 1000"),
        ("each = 1", "each = -1", "attacks.sybil_poisoning.packets_each = -1, must be 0 to"),
        ("= 0.75", "= 1.5", "attacks.sybil_poisoning: target_ratio = 1.5, must be 0 to 1"),
        ("= 0.75", "= nan", "attacks.sybil_poisoning.target_ratio = nan, must be 0 to"),
        ("invented = 10", "invented = 10001", "attacks.compromised_hospital: invented = 10001"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key_and_the_range(
    old: str, new: str, message: str
) -> None:
    assert message in _refused(old, new)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("age = { rump = 1 }", "parameters.age: unknown key 'rump'; did you mean 'ramp'?"),
        ("age = { ramp = 'x' }", "parameters.age.ramp = 'x', must be float"),
        ("age = { ramp = 0 }", "parameters.age: ramp = 0, must be above 0 days"),
        ("age = { ramp = nan }", "parameters.age.ramp = nan, must be 0 to"),
        ("age = { floor = 2 }", "parameters.age: floor = 2, must be 0 to 1"),
        ("age = { cap_ratio = 1 }", "parameters.age: cap_ratio = 1, must be 0 to below 1"),
        ("sequence = { jump = 0 }", "parameters.sequence: jump = 0, must be at least 1"),
        ("structure = { skew = true }", "parameters.structure.skew = True, must be int"),
        ("structure = { template = 1 }", "unknown key 'template'; allowed: secret, skew"),
        ("roster_routing = { roster = 1 }", "unknown key 'roster'; allowed: replicas_per_issuer"),
        ("one_vote = { a = 1 }", "parameters.one_vote: unknown key 'a'; allowed: none"),
        ("issuer_trim = { trim_ratio = 0.5 }", "parameters.issuer_trim: trim_ratio = 0.5, must"),
        ("issuer_trim = { min_issuers = 1 }", "parameters.issuer_trim: min_issuers must be 2"),
        ("roster_routing = { replicas_per_issuer = 0 }", "node.replicas_per_issuer = 0, must be"),
        ("aeg = { ramp = 1 }", "parameters: 'aeg' is not among its defences; did you mean 'age'?"),
    ],
)
def test_a_parameter_that_a_defence_refuses_is_named(parameters: str, message: str) -> None:
    found = _refused("[attacks.sybil", f"[networks.parameters]\n{parameters}\n[attacks.sybil")
    assert found.startswith("networks.defended.parameters")
    assert message in found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"structure"', '"strcture"', "unknown defence 'strcture'; did you mean 'structure'?"),
        ('"structure"', '"age"', "networks.defended.defenses: 'age' is there twice"),
        ('"defended"', '"undefended"', "networks: 'undefended' is there twice"),
        ('"recovered"', '"clean"', "steps: 'clean' is there twice"),
        ("[attacks.sybil_poisoning]", "[attacks.sybil_poison]", "did you mean 'sybil_poisoning'?"),
        ('"demo"', '"../demo"', "name = '../demo', must be 1 to 40 letters"),
        ('"undefended"', '"a/b"', "networks[0].name = 'a/b', must be 1 to 40 letters"),
        ('"undefended"', '""', "networks[0].name = '', must be 1 to 40 letters"),
        ('"breast-cancer"', '"brest-cancer"', "question.template = 'brest-cancer': unknown; did"),
        ('"breast-cancer"', '"../demo"', "question.template = '../demo': unknown; allowed: brea"),
        ('grade = "II"', 'grade = "IV"', "question.values: template: field.grade = 'IV', must be"),
        ('grade = "II"', 'stage = "II"', "question.values: template: field = 'stage', must be"),
        ('grade = "II"', "oestrogen-receptor = nan", "oestrogen-receptor = nan, must be a numb"),
        ('grade = "II"', "oestrogen-receptor = -1", "oestrogen-receptor = -1, must be a number"),
        ('"no-hormone"]', '"surgery"]', "question.arms = ('hormone', 'surgery'), must be two of"),
        ('"no-hormone"]', '"hormone"]', "question.arms = ('hormone', 'hormone'), must be two of"),
        ('"2026-01-01"', '"2026-02-30"', "clock.first_day = '2026-02-30', must be a date such as"),
        ('"2026-01-01"', '"soon"', "clock.first_day = 'soon', must be a date such as 2026-01-01"),
        ('"2026-01-01"', '"1970-01-01"', "first_day = '1970-01-01', must be 2000 days (enrolled"),
    ],
)
def test_a_name_or_a_date_that_means_nothing_is_named(old: str, new: str, message: str) -> None:
    assert message in _refused(old, new)


@pytest.mark.parametrize("attack", ["sybil_poisoning", "compromised_hospital"])
def test_a_step_needs_the_attack_that_plays_it(attack: str) -> None:
    text = re.sub(rf"\[attacks\.{attack}\][^\[]*", "", DEMO)
    with pytest.raises(ScenarioError, match=rf"^steps\..*: needs the table \[attacks\.{attack}\]$"):
        load_scenario(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"name = ",
        b"\xff\xfe",
        b"name = 1\nname = 2",
        b"a = " + b"9" * 10_000,
        b"a = " + b"[" * 100_000,
    ],
)
def test_what_is_not_toml_is_refused(data: bytes) -> None:
    with pytest.raises(ScenarioError, match=r"^scenario: not TOML: "):
        load_scenario(data)


def test_an_empty_scenario_names_what_is_missing_first() -> None:
    with pytest.raises(ScenarioError, match=r"^scenario: 'name' is missing$"):
        load_scenario(b"")


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(ScenarioError, match=f"at most {SIZE_MAX}"):
        load_scenario(b"#" * (SIZE_MAX + 1))


@pytest.mark.parametrize("number", ["9" * 400, "0x" + "f" * 10_000])
def test_an_absurd_number_does_not_flood_the_message(number: str) -> None:
    assert len(_refused("issuers = 20", f"issuers = {number}")) < 200
    assert len(_refused("k = 8", f"k = {number}")) < 200
