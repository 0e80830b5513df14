"""Measure a full routing table: microseconds of CPU for each call, and bytes.

    uv run python benchmarks/routing_table.py --seed 1

The node met 5,000 others, each in a network of its own. ``closest_by_sorting`` is what ``closest``
replaced. Prints one JSON object; times are the least of seven rounds of 1,000 calls.
"""

import argparse
import gc
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.node.routing import RoutingTable

NODES = 5_000
COUNT = 21
"""What FindNode asks for: k contacts and one, since the sender is left out."""


def fill(own: NodeId, contacts: Sequence[Contact]) -> RoutingTable:
    """Return the table of a node that met everybody."""
    table = RoutingTable(own, NodeConfig())
    for contact in contacts:
        table.heard_from(contact, 0.0)
    return table


def strangers(rng: random.Random) -> list[Contact]:
    """Return everybody, new objects each time."""
    return [
        Contact(NodeId(rng.getrandbits(256)), (f"10.{index >> 8}.{index & 255}.1", 4_000))
        for index in range(NODES)
    ]


def microseconds(call: Callable[[NodeId], object], arguments: Sequence[NodeId]) -> float:
    """Return CPU microseconds of one call."""
    rounds = []
    for _ in range(7):
        started = time.process_time()
        for argument in arguments:
            call(argument)
        rounds.append(time.process_time() - started)
    return round(min(rounds) / len(arguments) * 1e6, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=1)
    rng = random.Random(parser.parse_args().seed)
    own = NodeId(rng.getrandbits(256))
    gc.collect()
    tracemalloc.start()
    table = fill(own, strangers(rng))
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    buckets = list(table._buckets.values())
    places = [NodeId(rng.getrandbits(256)) for _ in range(1_000)]
    newcomers = {contact.id: contact for contact in strangers(rng)[:1_000]}
    measured = {
        "contacts": len(table),
        "bucket members": sum(len(bucket.members) for bucket in buckets),
        "siblings": len(table.siblings),
        "waiting": sum(len(bucket.waiting) for bucket in buckets),
        "bytes, contacts included": size,
        "closest": microseconds(lambda place: table.closest(place, COUNT), places),
        "closest_by_sorting": microseconds(
            lambda place: sorted(table, key=lambda contact: contact.id ^ place)[:COUNT], places
        ),
        "rank": microseconds(table.rank, places),
        "seen": microseconds(lambda place: table.seen(place, 1.0), [c.id for c in table]),
        "heard_from a newcomer": microseconds(
            lambda place: table.heard_from(newcomers[place], 1.0), list(newcomers)
        ),
    }
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
