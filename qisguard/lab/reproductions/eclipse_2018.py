"""Tables taken over from outside: unsolicited calls, restarts, and what limits and pings do."""

import time

from qisguard.lab.reproductions.findings import Findings, Tell
from qisguard.lab.reproductions.packaged import run, table

SCENARIOS = (
    "table-flood",
    "table-flood-tight-limits",
    "restart-eclipse",
    "restart-eclipse-diversity",
    "near-bucket-few-hosts",
)
METRICS = ["table_bad", "siblings_bad", "success", "captured"]


def reproduce(tell: Tell, quick: bool) -> Findings:
    """Return what callers of few hosts get into the tables of real nodes."""
    started = time.perf_counter()
    seeds = 3 if quick else 10
    ran = []
    for name in SCENARIOS:
        ran.append(run(name, seeds))
        tell(name, len(ran), len(SCENARIOS))
    return Findings(
        name="eclipse-2018",
        title="Eclipse by unsolicited contact, and by restart",
        question="Attackers with many ids on few hosts call every node again and again, or wait "
        "until a node restarts. How much of the tables is theirs, and what do limits "
        "per network do?",
        sources=[
            "Marcus, Heilman and Goldberg, Low-Resource Eclipse Attacks, IACR ePrint 2018/236",
            "Shi et al., 2026: 95 % of a table in 24 hours without limits; 2 in a bucket and 10 "
            "in a table of a /24 with them",
        ],
        engine="virtual: real nodes, 60 to 100 of them",
        seeds=f"1 to {seeds}",
        claims=[claim for one in ran for claim in one.claims()],
        tables=[table("Attackers in tables, and what look-ups bring", ran, METRICS)],
        plots=[],
        text=[
            "`attacked` is the node with the limits per network off. Its own ping before "
            "admission and the old members' right to stay are always on, there is no switch for "
            "them: that is why a flood takes free places and not the table.",
        ],
        is_quick=quick,
        seconds=time.perf_counter() - started,
    )
