"""Who pays for an address: the network that its owner could take other addresses from.

IPv4 in IPv6 clothes (``::ffff:192.0.2.1``) is IPv4: one host must not have two purses.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from qisguard.identity.descriptor import Address, Descriptor

_IPV4_SIZE, _SITE_SIZE, _ALLOCATION_SIZE = 4, 8, 6


def site_of(host: str) -> bytes:
    """Return whose budget pays: an IPv4 address, or the /64 that one IPv6 site owns."""
    packed = _pack(host)
    return packed if len(packed) == _IPV4_SIZE else packed[:_SITE_SIZE]


def network_of(host: str) -> bytes:
    """Return the /24 of an IPv4 address or the /48 of an IPv6 one."""
    packed = _pack(host)
    return packed[:3] if len(packed) == _IPV4_SIZE else packed[:_ALLOCATION_SIZE]


def by_network(descriptor: Descriptor, address: Address) -> str:
    """Return the group of a peer that no roster names: the network it speaks from."""
    return network_of(address[0]).hex()


@lru_cache(maxsize=8_192)
def _pack(host: str) -> bytes:
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.packed
    return address.packed
