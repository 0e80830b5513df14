"""Addresses, and who pays for them: the network that an owner could take other addresses from.

IPv4 in IPv6 clothes is IPv4: one host must not have two purses, and one /24 not the 256 networks of
2002::/16 that stand for it.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from qisguard.errors import DecodeError

Address = tuple[str, int]
"""IP address in text form and UDP port."""

_IPV4_SIZE, _SITE_SIZE = 4, 8
_V6 = 1 << 48
"""Set in the number of an IPv6 /48, so that it never equals that of an IPv4 /24."""
_NAT64 = 0x0064_FF9B << 64
"""The first 96 bits of 64:ff9b::/96, below which NAT64 puts IPv4 addresses (RFC 6052, 2.1)."""


@lru_cache(maxsize=8_192)
def pack_host(host: str) -> bytes:
    """Return the 4 or 16 bytes of an IP address in text form."""
    return ip_address(host).packed


@lru_cache(maxsize=8_192)
def unpack_host(packed: bytes) -> str:
    """Return the text form of a packed IP address; raise DecodeError unless 4 or 16 bytes."""
    if len(packed) not in (4, 16):
        raise DecodeError(f"host: {len(packed)} bytes, must be 4 or 16")
    return str(ip_address(packed))


def site_of(host: str) -> bytes:
    """Return whose budget pays: an IPv4 address, or the /64 that one IPv6 site owns."""
    packed = _inner(host).packed
    return packed if len(packed) == _IPV4_SIZE else packed[:_SITE_SIZE]


def network_of(host: str) -> int:
    """Return the number of the network that owns an IP address: its /24 (v4) or /48 (v6).

    IPv4-mapped (RFC 4291, 2.5.5.2), 6to4 (RFC 3056) and NAT64 (RFC 6052) addresses count as the
    IPv4 address in them. Raises ValueError for anything but the text form of an IP address.
    """
    address = _inner(host)
    return int(address) >> 8 if isinstance(address, IPv4Address) else _V6 | int(address) >> 80


@lru_cache(maxsize=8_192)
def _inner(host: str) -> IPv4Address | IPv6Address:
    """Return the address that a host speaks from: the IPv4 one where another stands for it."""
    address = ip_address(host)
    if isinstance(address, IPv4Address):
        return address
    whole = int(address)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and whole >> 32 == _NAT64:
        inner = IPv4Address(whole & 0xFFFF_FFFF)
    return inner or address
