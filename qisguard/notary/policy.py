"""What an auditor trusts about time: known blocks and time-stamping authorities, as TOML.

It lies outside of what is audited. ``hash`` is written as explorers print it::

    network = "mainnet"
    confirmations = 6
    batchers = ["43 characters of base64url"]

    [[block]]
    height = 358391
    hash = "000000000000000003e892881a8cdcdc117c06d444057c98b6f04a9ee75a2319"

    [[authority]]
    certificates = '''-----BEGIN CERTIFICATE----- ...'''

The certificates of an authority are its chain up to the root. Where its own is among them, only
that one may sign; without it, any that the root vouches for.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qisguard.errors import DecodeError, ScenarioError
from qisguard.fill import fill, nearest, show
from qisguard.identity.keys import KEY_SIZE, from_text
from qisguard.notary.headers import HASH_SIZE, Network

POLICY_SIZE_MAX = 1 << 20
CONFIRMATIONS = 6
_NETWORKS = {network.name.lower(): network for network in Network}


@dataclass(frozen=True, slots=True)
class NotaryPolicy:
    """What counts as proof of time.

    Attributes:
        network: the chain.
        blocks: hash by height of known blocks, in the order of the wire.
        confirmations: blocks, its own included, that a block after the last known one needs.
        authorities: of each trusted time-stamping authority the certificates (DER) of its chain,
            the root among them.
        batchers: public keys of those whose batch receipts count; none: whoever made them, for it
            is the stamp that proves.
    """

    network: Network = Network.MAINNET
    blocks: Mapping[int, bytes] = field(default_factory=dict)
    confirmations: int = CONFIRMATIONS
    authorities: tuple[tuple[bytes, ...], ...] = ()
    batchers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Top:
    network: str = "mainnet"
    confirmations: int = CONFIRMATIONS


@dataclass(frozen=True, slots=True)
class _Block:
    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Authority:
    certificates: str


def parse_notary_policy(data: bytes) -> NotaryPolicy:
    """Return the policy in a file.

    Raises:
        ScenarioError: what is wrong, in which table and key.
    """
    if len(data) > POLICY_SIZE_MAX:
        raise ScenarioError(f"notary policy: {len(data)} bytes, at most {POLICY_SIZE_MAX}")
    try:
        values = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScenarioError(f"notary policy: {error}") from None
    names = ("network", "confirmations", "block", "authority", "batchers")
    if unknown := [name for name in values if name not in names]:
        raise ScenarioError(
            f"notary policy: unknown key {unknown[0]!r}{nearest(unknown[0], names)}"
        )
    plain: dict[str, Any] = {name: values[name] for name in names[:2] if name in values}
    top = fill(_Top, plain, "notary policy")
    if top.network not in _NETWORKS:
        known = ", ".join(_NETWORKS)
        raise ScenarioError(f"notary policy: network = {show(top.network)}, must be one of {known}")
    if top.confirmations < 1:
        raise ScenarioError("notary policy: confirmations = 0, must be at least 1")
    blocks: dict[int, bytes] = {}
    for where, table in _tables(values, "block"):
        block = _filled(_Block, table, where)
        if block.height in blocks:
            raise ScenarioError(f"{where}: height {block.height} is listed twice")
        if block.height >= 1 << 32:
            raise ScenarioError(f"{where}: height {block.height}, at most {(1 << 32) - 1}")
        blocks[block.height] = _hash(block.hash, where)
    authorities: list[tuple[bytes, ...]] = []
    for where, table in _tables(values, "authority"):
        authorities.append(_certificates(_filled(_Authority, table, where).certificates, where))
    return NotaryPolicy(
        _NETWORKS[top.network],
        blocks,
        top.confirmations,
        tuple(authorities),
        _keys(values.get("batchers", [])),
    )


def _filled(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    for name in kind.__dataclass_fields__:
        if name not in table:
            raise ScenarioError(f"{where}: {name} is missing")
    return fill(kind, table, where)


def _tables(values: Mapping[str, Any], name: str) -> list[tuple[str, Mapping[str, Any]]]:
    tables = values.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ScenarioError(f"notary policy: write every {name} as [[{name}]]")
    return [(f"notary policy: {name}[{index}]", table) for index, table in enumerate(tables)]


def _keys(values: object) -> tuple[bytes, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ScenarioError(f"notary policy: batchers = {show(values)}, must be a list of keys")
    try:
        return tuple(from_text(value, KEY_SIZE) for value in values)
    except DecodeError as error:
        raise ScenarioError(f"notary policy: batchers: {error}") from None


def _hash(text: str, where: str) -> bytes:
    if len(text) != 2 * HASH_SIZE or not set(text) <= set("0123456789abcdef"):
        raise ScenarioError(f"{where}: hash = {show(text)}, must be {2 * HASH_SIZE} hex digits")
    return bytes.fromhex(text)[::-1]


def _certificates(text: str, where: str) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise ScenarioError(f"{where}: certificates are not PEM: {error}") from None
    if all(certificate.subject != certificate.issuer for certificate in found):
        raise ScenarioError(f"{where}: certificates have no self-signed root among them")
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)
