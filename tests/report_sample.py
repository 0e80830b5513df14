"""A plausible report for tests of renderers. Invented: nothing here was measured."""

import math
import random

from qisguard.lab.demo.results import (
    ArmRow,
    AuditRow,
    Curve,
    NetworkRow,
    Rate,
    Report,
    Row,
    WeightRow,
)

ARMS = ("hormone", "no-hormone")
HORIZON = 730
STEPS = (
    ("clean", 0, 0),
    ("one hospital", 0, 1),
    ("2 hospitals", 0, 2),
    ("3 hospitals", 0, 3),
    ("4 hospitals", 0, 4),
    ("6 hospitals", 0, 6),
    ("recovered", 0, 0),
    ("8 sybils", 8, 0),
    ("16 sybils", 16, 0),
    ("32 sybils", 32, 0),
    ("headline", 64, 0),
    ("both", 64, 1),
    ("128 sybils", 128, 0),
    ("256 sybils", 256, 0),
)
HOSPITALS = tuple(f"hospital-{place + 1:02}" for place in range(20))


def wilson(flips: int, size: int) -> tuple[float, float]:
    """Return the 95 % score interval."""
    z = 1.959964
    p, n = flips / size, size
    middle, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def shift(network: str, sybils: int, hospitals: int) -> float:
    """Return by how much an attack moves the difference."""
    if network == "undefended":
        return 0.0048 * sybils + 0.055 * hospitals
    return 0.00005 * sybils + 0.028 * hospitals


def row(engine: str, seed: int, network: str, step: tuple[str, int, int]) -> Row:
    """Return one invented answer."""
    name, sybils, hospitals = step
    rng = random.Random(f"{engine} {seed} {network} {name}")
    luck = random.Random(f"luck {engine} {seed}").gauss(0, 0.022)
    defended = network == "defended"
    if name == "recovered":
        sybils = hospitals = 0
    difference = 0.105 + luck - shift(network, sybils, hospitals) + rng.gauss(0, 0.006)
    undecided = defended and abs(difference) < 0.006
    decision = "undecided" if undecided else ARMS[0] if difference > 0 else ARMS[1]
    upper = 0.815 + luck / 2 - shift(network, sybils, hospitals)
    lower = upper - difference
    reasons = ["the interval -0.021 to +0.160 includes 0"] if difference < 0.08 else []
    dropped = {"copy": 1_330 + rng.randrange(40), "expired": 2}
    if defended and sybils:
        dropped["no weight: age"] = sybils
    if hospitals:
        dropped["older sequence"] = 20 * hospitals
    return Row(
        engine=engine,
        seed=seed,
        network=network,
        step=name,
        sybils=step[1],
        hospitals=step[2],
        decision=decision,
        is_flipped=decision == ARMS[1],
        is_undecided=undecided,
        difference=difference,
        lo=difference - 0.09,
        hi=difference + 0.09,
        arms=[
            ArmRow(ARMS[0], 161 + sybils, upper, upper - 0.06, upper + 0.055, None),
            ArmRow(ARMS[1], 283, lower, lower - 0.05, lower + 0.05, 1_880.0),
        ],
        method="issuer-trimmed" if defended else "pooled",
        state="fragile" if reasons else "ok",
        reasons=reasons,
        flags=["leave_one_out: without hospital-03 the decision would be another"]
        if defended and hospitals > 1
        else [],
        flip_radius_guaranteed=max(0.0, difference) / 2,
        flip_radius_found=max(0.0, difference) / 1.6,
        flip_radius_attack="deaths just before the horizon",
        leave_one_out=(difference - 0.02, difference + 0.015),
        largest_issuer_share=0.05 if defended else 0.152,
        none_share=0.004 if defended else sybils / (444 + sybils),
        packet_count=444 + sybils,
        issuer_count=20,
        effective_n=401.5,
        dropped=dropped,
        refused={"not on the roster": 3 * sybils} if defended and sybils else {},
        replicas_asked=432,
        replicas_answered=432 - rng.randrange(2),
        query_seconds=0.08 + rng.random() / 50 if engine == "virtual" else 0.61,
        query_datagrams=2_150 + rng.randrange(90),
    )


def rates(rows: list[Row]) -> list[Rate]:
    """Return flip rates counted from rows."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for told in rows:
        groups.setdefault((told.engine, told.network, told.step), []).append(told)
    found = []
    for (engine, network, step), group in groups.items():
        flips = sum(told.is_flipped for told in group)
        low, high = wilson(flips, len(group))
        found.append(
            Rate(
                engine=engine,
                network=network,
                step=step,
                sybils=group[0].sybils,
                hospitals=group[0].hospitals,
                seeds=[told.seed for told in group],
                flips=flips,
                undecided=sum(told.is_undecided for told in group),
                rate=flips / len(group),
                lo=low,
                hi=high,
            )
        )
    return found


def curve(network: str, step: str, arm: str, at_horizon: float) -> Curve:
    """Return an exponential curve in steps that has ``at_horizon`` at the horizon."""
    times = [float(day) for day in range(60, 2_600, 37)]
    rate = -math.log(max(at_horizon, 1e-3)) / HORIZON
    return Curve(network, step, arm, times, [math.exp(-rate * t) for t in times])


def curves() -> list[Curve]:
    """Return the curves of the clean and the headline step."""
    found = []
    for network in ("undefended", "defended"):
        for step, sybils in (("clean", 0), ("headline", 64)):
            low = 0.82 - shift(network, sybils, 0)
            found += [curve(network, step, ARMS[0], low), curve(network, step, ARMS[1], 0.715)]
    return found


def weights() -> list[WeightRow]:
    """Return who has weight at the headline."""
    found = []
    for network in ("undefended", "defended"):
        for place, name in enumerate(HOSPITALS):
            votes = 8 + 440 // (place + 8)
            held = min(votes, 22) if network == "defended" else votes
            found.append(
                WeightRow(network, "headline", name, 200.0 + 90 * place, votes, float(held), False)
            )
        share = 0.03 if network == "defended" else 64.0
        found.append(WeightRow(network, "headline", "none", 1.0, 64, share, True))
    return found


def sample(
    seeds: int = 20, is_live: bool = True, is_synthetic: bool = False, title: str = ""
) -> Report:
    """Return a report of the shape that the demo leaves behind."""
    places = [("live", 1)] if is_live else []
    places += [("virtual", seed) for seed in range(1, seeds + 1)]
    networks = ("undefended", "defended")
    rows = [row(e, s, network, step) for e, s in places for network in networks for step in STEPS]
    card = {
        "family": "Sybil",
        "capability": "computes puzzles; no member's key",
        "breaks": "integrity of the answer",
        "source": "Douceur, IPTPS 2002",
        "seen": "share of 'none' rises",
    }
    return Report(
        format=1,
        title=title or "Hormonal therapy in grade II breast cancer, under poisoning",
        scenario="demo",
        scenario_digest="5d" * 32,
        command="qisguard demo --seed 1",
        seed=1,
        is_quick=seeds < 20,
        versions={"python": "3.11.9", "qisguard": "0.1.0", "pynacl": "1.6.2", "numpy": "2.5.5"},
        machine={"system": "Linux x86_64", "cores": "4"},
        clock_rate=86_400.0,
        puzzle_bits=(8, 8),
        identities_mined=6_216,
        seconds_per_identity=0.0123,
        cohort="synthetic" if is_synthetic else "GBSG2",
        cohort_is_synthetic=is_synthetic,
        patients=686,
        question="breast-cancer/1, grade II: hormone or no-hormone?",
        estimand="survival at 730 days, hormone less no-hormone, breast cancer (breast-cancer/1)",
        horizon=HORIZON,
        headline="headline",
        truth=[
            ArmRow(ARMS[0], 161, 0.82, 0.752, 0.871, None),
            ArmRow(ARMS[1], 283, 0.715, 0.658, 0.766, 1_814.0),
        ],
        rows=rows,
        rates=rates(rows),
        curves=curves(),
        weights=weights(),
        networks=[
            NetworkRow(
                engine=engine,
                seed=seed,
                network=network,
                nodes=40,
                sybil_nodes=256,
                packets_published=686,
                acknowledged=5_488,
                measures={"datagrams": 91_207.0 + seed, "lost": 0.0, "seconds": 61.4},
                digest=f"{seed:02x}" * 32 if engine == "virtual" else "",
            )
            for engine, seed in places
            for network in networks
        ],
        audits=[
            AuditRow("every honest trail", 40, 12_480, 13_166, 0, []),
            AuditRow(
                "a copy with bit 0 of byte 4096 of tile/entries/000.p/212 flipped",
                1,
                212,
                231,
                1,
                [
                    {
                        "id": "AUD-13",
                        "severity": "high",
                        "trail": "hospital-01-1",
                        "file": "tile/entries/000.p/212",
                        "summary": "entry 103 hashes to 9f4c…, the signed tree has 21d0…",
                        "remedy": "restore the file from a mirror",
                    }
                ],
            ),
        ]
        if is_live
        else [],
        defenses=[
            {**card, "id": name, "summary": f"what {name} does", "limits": f"what {name} cannot"}
            for name in ("roster_routing", "structure", "sequence", "one_vote", "age",
                         "issuer_trim", "leave_one_out")
        ],
        attacks=[
            {**card, "id": "sybil_poisoning", "summary": "fresh identities publish invented early "
             "deaths in the better arm", "limits": "each identity costs two puzzles"},
            {**card, "id": "compromised_hospital", "family": "insider", "summary": "a member's "
             "author key rewrites its cases and invents more", "limits": "one issuer, one vote"},
        ],
        seconds=58.3,
    )  # fmt: skip
