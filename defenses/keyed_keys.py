"""Keyed similarity keys: a hash that nobody can compute without the network's secret.

A rule and no seam: it is in the network, not in the settings of a node. The attack that it answers
runs on ``direct`` and computes both forms.
"""

from dataclasses import dataclass

from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class KeyedKeys:
    """Similarity keys are HMAC-SHA256 with a secret of the network (``Template.key``)."""

    card = Card(
        id="keyed_keys",
        family="privacy",
        summary="similarity keys are made with a secret of the network",
        capability="a dictionary of all keys of a public template",
        breaks="naming queries by their places",
        source="RFC 2104; design, section 1 (keyed templates)",
        seen="nothing",
        limits="every member has the secret: one that leaks it opens all queries, past ones too",
    )
