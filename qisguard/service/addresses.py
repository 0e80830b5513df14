"""Addresses and first contacts as people write them in files."""

import ipaddress
import re

from qisguard.errors import ScenarioError
from qisguard.fill import show
from qisguard.identity.address import Address
from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact

ADDRESS_ALLOWED = "IP:PORT such as 192.0.2.7:4400 or [2001:db8::7]:4400"
BOOTSTRAP_ALLOWED = "64 hex digits of the node id, @, and " + ADDRESS_ALLOWED

_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_BOOTSTRAP = re.compile(r"([0-9a-fA-F]{64})@(.+)")


def parse_address(text: str, where: str) -> Address:
    """Return the IP address and port in ``text``; names are not resolved.

    Raises:
        ScenarioError: it is something else; the message starts with ``where``.
    """
    found = _ADDRESS.fullmatch(text)
    try:
        if found and 0 < int(found[3]) < 1 << 16:
            return str(ipaddress.ip_address(found[1] or found[2])), int(found[3])
    except ValueError:
        pass
    raise ScenarioError(f"{where} = {show(text)}, must be {ADDRESS_ALLOWED}")


def show_address(address: Address) -> str:
    """Return an address as ``parse_address`` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_bootstrap(text: str, where: str) -> Contact:
    """Return the contact in ``nodeid@host:port``; raise ScenarioError for anything else."""
    found = _BOOTSTRAP.fullmatch(text)
    if not found:
        raise ScenarioError(f"{where} = {show(text)}, must be {BOOTSTRAP_ALLOWED}")
    return Contact(NodeId(int(found[1], 16)), parse_address(found[2], where))


def show_contact(contact: Contact) -> str:
    """Return a contact as ``parse_bootstrap`` reads it."""
    return f"{contact.id:064x}@{show_address(contact.address)}"


def is_unspecified(host: str) -> bool:
    """Return whether ``host`` means every address of the machine, which nobody can be told."""
    return ipaddress.ip_address(host).is_unspecified


def is_loopback_address(address: Address) -> bool:
    """Return whether an address never leaves this machine."""
    return ipaddress.ip_address(address[0]).is_loopback
