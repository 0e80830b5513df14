"""The costly checks of a node: pure functions, so a laboratory may remember their successes.

In a simulated network the same descriptor or packet is checked by many nodes of one process. A memo
returns the same answer for the same bytes and never remembers a failure; real nodes run without.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from qisguard.identity import keys
from qisguard.identity.descriptor import Descriptor, open_descriptor
from qisguard.identity.ids import NodeId
from qisguard.identity.network import Network
from qisguard.outcomes.packet import OutcomePacket, Verify, open_packet

MEMO_SIZE = 1 << 15

MayPay = Callable[[NodeId], bool]
"""Asked before a costly puzzle is checked for an id; False when its budget is spent."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Signatures, descriptors and packets; each raises QisguardError on failure."""

    verify: Verify = keys.verify
    descriptor: Callable[[bytes, Network, MayPay], Descriptor] = open_descriptor
    packet: Callable[[bytes], OutcomePacket] = open_packet


def memoised(check: Verify = keys.verify) -> Checks:
    """Return checks that remember what they found good: same bytes, same answer, less time."""
    verify = lru_cache(MEMO_SIZE)(check)
    descriptor = lru_cache(MEMO_SIZE)(open_descriptor)
    return Checks(
        verify=verify,
        descriptor=lambda data, network, may_pay: descriptor(data, network),
        packet=lru_cache(MEMO_SIZE)(lambda data: open_packet(data, verify)),
    )
