"""What honest nodes know at the end of a trial, read from their routing tables."""

import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId
from qisguard.lab.trial.ground import Ground
from qisguard.node.contact import Contact
from qisguard.node.node import Node


def measure_tables(ground: Ground) -> dict[str, tuple[int, int]]:
    """Return what is wrong in the tables of honest nodes; what nobody has is absent."""
    honest, victims, attackers = ground.honest, ground.victims, ground.attackers
    ratios = {
        "table_bad": _bad(_entries(honest), attackers),
        "siblings_bad": _bad(_siblings(honest), attackers),
        "false_entries": count_false(_entries(honest), ground.homes),
    }
    if victims:
        ratios["victims_bad"] = _bad(_entries(victims), attackers)
        ratios["victims_siblings_bad"] = _bad(_siblings(victims), attackers)
        alone = sum(all(contact.id in attackers for contact in node.table) for node in victims)
        ratios["isolated"] = alone, len(victims)
    return ratios


def measure_sizes(ground: Ground) -> dict[str, float]:
    """Return how large the network seems to those attacked, as a multiple of the honest nodes."""
    nodes, count = ground.victims or ground.honest, len(ground.honest)
    return {
        "size_believed": statistics.median(node.survey.size() for node in nodes) / count,
        "size_siblings": statistics.median(node.table.size() for node in nodes) / count,
    }


def measure_degrees(ground: Ground) -> dict[str, float]:
    """Return the highest in-degrees, as shares of the honest nodes: what a degree bound sees."""
    known = Counter(contact.id for contact in _entries(ground.honest))
    groups = {
        "degree_honest": {node.me.id for node in ground.honest},
        "degree_attackers": ground.attackers,
    }
    return {
        metric: max(known[identifier] for identifier in group) / len(ground.honest)
        for metric, group in groups.items()
        if group
    }


def _entries(nodes: Sequence[Node]) -> list[Contact]:
    return [contact for node in nodes for contact in node.table]


def _siblings(nodes: Sequence[Node]) -> list[Contact]:
    return [contact for node in nodes for contact in node.table.siblings]


def _bad(contacts: Sequence[Contact], attackers: Collection[NodeId]) -> tuple[int, int]:
    return sum(contact.id in attackers for contact in contacts), len(contacts)


def count_false(entries: Sequence[Contact], homes: Mapping[NodeId, Address]) -> tuple[int, int]:
    """Return how many entries name an id that never was, or another address than its own."""
    wrong = sum(homes.get(contact.id) != contact.address for contact in entries)
    return wrong, len(entries)
