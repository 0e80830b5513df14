"""What each defence of the outcomes costs: CPU time for 100,000 votes, the least of some runs.

    OPENBLAS_NUM_THREADS=1 uv run python benchmarks/defense_costs.py --seed 1

Votes are survival times of 100 issuers; detectors of change also see an archive of 100,000
outcomes. ``structure`` and ``sequence`` look at packets one by one: theirs is the time for 500
packets times 200. Estimators across issuers are asked for 100 issuers, whoever voted.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from qisguard.defenses import DEFENSES
from qisguard.defenses.beta_reputation import BetaReputation
from qisguard.defenses.eigentrust import EigenTrust
from qisguard.defenses.structure import Structure
from qisguard.identity.keys import KeyPair
from qisguard.identity.roster import Issuer, Roster
from qisguard.lab.streams import Setting, Stream, honest
from qisguard.outcomes.issuers import Differences, without_each
from qisguard.outcomes.packet import TIME_TO_EVENT, Outcome, packet_body, sign_packet
from qisguard.outcomes.reputation import Standing, Standings
from qisguard.outcomes.robust import ACROSS, locate
from qisguard.outcomes.synthesis import Evidence
from qisguard.outcomes.template import open_template
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Accepts, Watches, Weighs

VOTES, ISSUERS, PACKETS = 100_000, 100, 500
TEMPLATE = Path(__file__).parents[1] / "scenarios" / "templates" / "breast-cancer.toml"
WEIGHS = ("one_vote", "age", "five_sigma", "five_sigma_iterated", "mad")
WATCHES = ("leave_one_out", "newcomer_shift", "cusum")


def least(work: Callable[[], object], repeats: int) -> float:
    """Return the CPU time of the fastest run, in milliseconds."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best * 1e3


def cohort(seed: int) -> tuple[Stream, Votes]:
    """Return an honest stream, and its votes as survival times, a tenth from strangers."""
    rng = np.random.default_rng(seed)
    stream, new = honest(Setting(hospitals=ISSUERS, daily=100), VOTES, rng), rng.random(VOTES) < 0.1
    stream = replace(stream, issuer=np.where(new, ISSUERS, stream.issuer))  # off the roster
    votes = stream.votes(new)
    days = np.ceil(rng.exponential(900, VOTES))
    event = days < 1_500
    return stream, replace(
        votes, kind=TIME_TO_EVENT, value=np.where(event, days, 1_500.0), event=event
    )


def standings(names: tuple[str, ...]) -> Standings:
    """Return evidence of every issuer about every other."""
    pairs = ((judge, subject) for judge in names for subject in names if judge != subject)
    return Standings(tuple(Standing(judge, subject, 9.0, 1.0) for judge, subject in pairs))


def accepting(name: str, repeats: int) -> float:
    """Return the cost of a check on packets, in milliseconds for 100,000."""
    shape = open_template(TEMPLATE.read_bytes())
    author = KeyPair.from_seed(b"a" * 32)
    key = next(iter(shape.expand({})))
    packets = []
    for number in range(PACKETS):
        body = packet_body(
            network=bytes(32),
            template=shape.id,
            key=key,
            case=number.to_bytes(16, "big"),
            author=author.public,
            seq=1,
            day=100,
            exp=200,
            arm=shape.arms[0],
            outcome=Outcome.after(700, 1),
            feat={},
        )
        packets.append(sign_packet(body, author))
    defense: Accepts = Structure(shape) if name == "structure" else DEFENSES[name]()
    return least(lambda: [defense.accept(p, None, 100) for p in packets], repeats) * (
        VOTES / PACKETS
    )


def main() -> None:
    """Print one row a defence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    stream, votes = cohort(options.seed)
    past, ones = stream.past(), np.ones(VOTES)
    roster = Roster(bytes(32), 1, tuple(Issuer(name, 0, (), ()) for name in stream.names[:-1]))
    evidence = Evidence(
        votes=votes,
        weights=ones,
        arms=("a", "b"),
        horizon=730,
        issuers=stream.names,
        without=rng.normal(0.1, 0.01, ISSUERS + 1),
        shares=np.full(ISSUERS + 1, 1 / (ISSUERS + 1)),
        difference=0.1,
        low=0.0,
        high=0.2,
        method="",
        own={},
        past=past,
    )
    value = rng.normal(0.1, 0.1, ISSUERS)
    found = Differences(
        np.arange(ISSUERS), np.stack([value, 0 * value]), value, np.full(ISSUERS, 2.0)
    )
    held = standings(stream.names[:-1])
    weighs: dict[str, Weighs] = {name: DEFENSES[name]() for name in WEIGHS}
    weighs["beta_reputation"] = BetaReputation(held)
    weighs["eigentrust"] = EigenTrust(roster, held)
    watches: dict[str, Watches] = {name: DEFENSES[name]() for name in WATCHES}
    costs = {name: accepting(name, options.repeats) for name in ("structure", "sequence")}
    for name, weigh in weighs.items():
        costs[name] = least(lambda weigh=weigh: weigh.weigh(votes, ones), options.repeats)
    for name, watch in watches.items():
        costs[name] = least(lambda watch=watch: watch.watch(evidence), options.repeats)
    costs["issuer_trim"] = least(lambda: without_each(found, 0.3), options.repeats)
    for name in ACROSS:
        label = f"issuer_{name.replace('-', '_')}"
        costs[label] = least(lambda name=name: locate(found, name, 2.0), options.repeats)
    print(f"CPU ms for {VOTES:,} votes, least of {options.repeats} runs, seed {options.seed}")
    for name, cost in costs.items():
        print(f"| {name} | {cost:.2f} |")


if __name__ == "__main__":
    main()
