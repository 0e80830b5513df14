"""Scope files: which hosts a laboratory may attack, with whose consent, and until when.

Attacks stay on loopback. An address of a private range is reachable under a scope alone: a file
signed by the network's authority that names hosts, ports, attacks and an end, in which every
target's own identity key has signed its consent to just that. Public addresses are refused whatever
a file says.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from qisguard.errors import DecodeError, IdentityError, ProofError
from qisguard.identity.address import Address
from qisguard.identity.keys import (
    CONSENT_TAG,
    KEY_SIZE,
    SCOPE_TAG,
    SIGNATURE_SIZE,
    KeyPair,
    check_enrollable,
    from_text,
    to_text,
    verify,
)
from qisguard.identity.signed import seal, unseal

TARGETS_MAX = 1_000
DAYS_MAX = 30
"""A scope that is needed for longer is signed again."""

_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)


@dataclass(frozen=True, slots=True)
class Target:
    """One host with a range of UDP ports; ``consent`` is signed by the node's identity key."""

    host: str
    ports: tuple[int, int]
    key: bytes
    consent: bytes = b""


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be attacked, by what, from ``begins`` until ``expires`` (Unix seconds)."""

    network: bytes
    attacks: tuple[str, ...]
    begins: int
    expires: int
    targets: tuple[Target, ...]

    def refusal(self, address: Address, attack: str, now: float) -> str:
        """Return why ``attack`` may not reach ``address`` at ``now``, or "" when it may."""
        host, port = address
        if not is_private(host):
            return f"{host} is no private address: a scope opens none but those"
        if not self.begins <= now < self.expires:
            return f"the scope is valid from {self.begins} until {self.expires}, now is {now:.0f}"
        if attack not in self.attacks:
            return f"the scope allows {', '.join(self.attacks)}, not {attack}"
        for target in self.targets:
            if target.host == host and target.ports[0] <= port <= target.ports[1]:
                return ""
        return f"{host} port {port} is not among the {len(self.targets)} targets of the scope"


def is_private(host: str) -> bool:
    """Return whether an IP address in text form is of a private range (RFC 1918, RFC 4193)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _PRIVATE)


def consent(scope: Scope, target: Target, key: KeyPair) -> Target:
    """Return ``target`` with its owner's consent to ``scope``; the key must be the target's."""
    if key.public != target.key:
        raise IdentityError(
            f"scope: the target {target.host} is {to_text(target.key)}, "
            f"and this identity is {to_text(key.public)}"
        )
    return replace(target, consent=key.sign(CONSENT_TAG, _terms(scope, target)))


def check(scope: Scope) -> None:
    """Raise IdentityError or ProofError unless the scope is one that an authority may sign."""
    if not 1 <= len(scope.targets) <= TARGETS_MAX:
        raise IdentityError(f"scope: {len(scope.targets)} targets, must be 1 to {TARGETS_MAX}")
    if not 0 < scope.expires - scope.begins <= DAYS_MAX * 86_400:
        raise IdentityError(
            f"scope: begins {scope.begins}, expires {scope.expires}, must last up to "
            f"{DAYS_MAX} days"
        )
    if not scope.attacks:
        raise IdentityError("scope: allows no attack, must name at least one")
    for target in scope.targets:
        if not is_private(target.host):
            raise IdentityError(
                f"scope: {target.host} is not private; allowed: "
                + ", ".join(str(network) for network in _PRIVATE)
            )
        low, high = target.ports
        if not 1 <= low <= high <= 65_535:
            raise IdentityError(f"scope: ports {low}-{high} of {target.host}, must be 1 to 65535")
        check_enrollable(target.key)
        try:
            verify(target.key, CONSENT_TAG, _terms(scope, target), target.consent)
        except ProofError:
            raise ProofError(f"scope: {target.host} has not consented to these terms") from None


def seal_scope(scope: Scope, authority: KeyPair) -> bytes:
    """Return the signed file; raises as ``check``."""
    check(scope)
    return seal(SCOPE_TAG, _body(scope), authority)


def open_scope(data: bytes, network: bytes, authority: bytes) -> Scope:
    """Return the scope that ``authority`` signed for the network with this 32-byte id.

    Raises:
        DecodeError, ProofError: not signed by this authority, or a target did not consent.
        IdentityError: another network, or terms that nobody may sign.
    """
    body = unseal(SCOPE_TAG, data, authority, _Body)
    scope = _scope(body)
    if scope.network != network:
        raise IdentityError("scope: belongs to another network")
    check(scope)
    return scope


def write_draft(scope: Scope) -> bytes:
    """Return a scope that is not signed yet, for its targets to consent to."""
    return msgspec.json.format(msgspec.json.encode(_body(scope)), indent=2) + b"\n"


def read_draft(data: bytes) -> Scope:
    """Return the scope in a draft; raise DecodeError for anything else."""
    try:
        return _scope(msgspec.json.decode(data, type=_Body))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"scope draft: {error}") from None


class _Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    ports: tuple[int, int]
    key: str
    consent: str


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    net: str
    attacks: list[str]
    begins: int
    expires: int
    targets: list[_Target]


def _body(scope: Scope) -> _Body:
    return _Body(
        v=1,
        net=to_text(scope.network),
        attacks=list(scope.attacks),
        begins=scope.begins,
        expires=scope.expires,
        targets=[
            _Target(host=t.host, ports=t.ports, key=to_text(t.key), consent=to_text(t.consent))
            for t in scope.targets
        ],
    )


def _scope(body: _Body) -> Scope:
    if body.v != 1:
        raise DecodeError(f"scope: version {body.v}, must be 1")
    targets: Iterable[Target] = (
        Target(
            str(_host(t.host)),
            t.ports,
            from_text(t.key, KEY_SIZE),
            from_text(t.consent, SIGNATURE_SIZE) if t.consent else b"",
        )
        for t in body.targets
    )
    return Scope(
        from_text(body.net, KEY_SIZE),
        tuple(body.attacks),
        body.begins,
        body.expires,
        tuple(targets),
    )


def _host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise DecodeError(f"scope: {text!r} is no IP address") from None


def _terms(scope: Scope, target: Target) -> bytes:
    """Return what a target consents to: its own host and ports, the attacks and the time."""
    terms = [
        1,
        to_text(scope.network),
        target.host,
        list(target.ports),
        list(scope.attacks),
        scope.begins,
        scope.expires,
    ]
    return msgspec.json.encode(terms)
