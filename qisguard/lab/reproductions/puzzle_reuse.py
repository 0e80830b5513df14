"""Identities that one solution of the dynamic puzzle serves, in the published form and in ours."""

import time

from qisguard.lab.reproductions.findings import Findings, Tell
from qisguard.lab.reproductions.packaged import run, table


def reproduce(tell: Tell, quick: bool) -> Findings:
    """Return identities accepted for one solution, and how many a second."""
    started = time.perf_counter()
    seeds = 3 if quick else 10
    ran = run("puzzle-reuse", seeds)
    tell("puzzle-reuse", 1, 1)
    return Findings(
        name="puzzle-reuse",
        title="One solution for everybody",
        question="The dynamic puzzle was published as H(id XOR X). Whoever finds one value with "
        "a good hash answers for every id with one XOR. How many identities does one "
        "solution serve?",
        sources=["Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.1 (the published form)"],
        engine="direct: the node's own functions, no network",
        seeds=f"1 to {seeds}",
        claims=ran.claims(),
        tables=[
            table(
                "Published form (attacked) and ours (defended)",
                [ran],
                ["identities_accepted", "ids_per_second"],
            )
        ],
        plots=[],
        text=["Ours hashes network, epoch, id and X side by side, so that X serves one id."],
        is_quick=quick,
        seconds=time.perf_counter() - started,
    )
