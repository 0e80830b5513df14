"""Queries identified by hashing every key of a template, and what keyed templates do about it."""

import time

from qisguard.lab.reproductions.findings import Findings, Tell
from qisguard.lab.reproductions.packaged import run, table

METRICS = ["keys_identified", "seconds_to_identify", "keys_per_second"]


def reproduce(tell: Tell, quick: bool) -> Findings:
    """Return the share of queries that outsider and insider identify, and how long it takes."""
    started = time.perf_counter()
    seeds = 3 if quick else 10
    ran = []
    for name in ("key-dictionary", "key-dictionary-insider"):
        ran.append(run(name, seeds))
        tell(name, len(ran), 2)
    return Findings(
        name="key-dictionary",
        title="A dictionary of similarity keys",
        question="A similarity key is the hash of a few categories. Whoever has the template "
        "hashes them all: how many queries are identified, and how long does it take?",
        sources=["IPIP 373, double hashing for the IPFS DHT; enumeration of hashed categories"],
        engine="direct: the packaged template's own function, no network",
        seeds=f"1 to {seeds}",
        claims=[claim for one in ran for claim in one.claims()],
        tables=[table("Queries identified, and the seconds it took", ran, METRICS)],
        plots=[],
        text=[
            "Keyed templates (HMAC with the network's secret) stop outsiders. They stop nobody "
            "who has the secret: every member has it. The packaged template has few keys, so "
            "the time is that of a moment; keys per second tells how long a larger one would "
            "take.",
        ],
        is_quick=quick,
        seconds=time.perf_counter() - started,
    )
