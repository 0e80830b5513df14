"""A contact: an id and an address, said or known."""

import msgspec

from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId

NEVER = float("-inf")
"""A time before all others, in seconds."""


class Contact(msgspec.Struct, frozen=True, gc=False):
    """An id and the address it is said, or known, to have; a struct: replies are full of them."""

    id: NodeId
    address: Address
