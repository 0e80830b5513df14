"""What honest readers were given: the current packet, an old one, or what nobody published."""

from collections.abc import Sequence

from qisguard.identity.ids import NodeId
from qisguard.lab.trial.people import People
from qisguard.lab.trial.work import Operation, Plan
from qisguard.node.node import Node
from qisguard.node.reading import Provided, Retrieved

FIRST = 10
"""How many providers a reader in a hurry asks: readers of other networks stop here."""


def reads(
    operations: Sequence[Operation], plan: Plan, publishers: dict[NodeId, Node], people: People
) -> dict[str, tuple[int, int]]:
    """Return the ratios of a workload that reads what ``plan`` says was published."""
    if any(isinstance(o.result, Provided) for o in operations):
        return _of_providers(operations, publishers, people)
    return _of_packets(operations, plan)


def _of_packets(operations: Sequence[Operation], plan: Plan) -> dict[str, tuple[int, int]]:
    older = {packet.digest for version in plan.older for packet in version}
    true = older | {packet.digest for packet in plan.packets}
    current = stale = false = given = 0
    for operation in operations:
        result, packet = operation.result, operation.packet
        if not isinstance(result, Retrieved) or packet is None:
            continue
        is_current = packet.digest in result.packets
        current += is_current
        stale += not is_current and not older.isdisjoint(result.packets)
        false += len(set(result.packets) - true)
        given += len(result.packets)
    ratios = {"readable": (current, len(operations))}
    ratios["flagged"] = _flagged(operations)
    if given:
        ratios["false_read"] = false, given
    if older:
        ratios["stale_read"] = stale, len(operations)
    return ratios


def _of_providers(
    operations: Sequence[Operation], publishers: dict[NodeId, Node], people: People
) -> dict[str, tuple[int, int]]:
    honest = {identity.id for identity in people.honest}
    found = first = false = given = 0
    for operation in operations:
        if not isinstance(operation.result, Provided):
            continue
        providers = list(operation.result.records)
        publisher = publishers[operation.place].me.id
        found += publisher in providers
        first += publisher in providers[:FIRST]
        false += sum(provider not in honest for provider in providers)
        given += len(providers)
    count = len(operations)
    ratios = {"provider_found": (found, count), "provider_first": (first, count)}
    ratios["flagged"] = _flagged(operations)
    if given:
        ratios["provider_false"] = false, given
    return ratios


def _flagged(operations: Sequence[Operation]) -> tuple[int, int]:
    """Return how many readers were warned by detectors of their own."""
    results = [operation.result for operation in operations]
    return sum(isinstance(r, Retrieved | Provided) and bool(r.flags) for r in results), len(results)
