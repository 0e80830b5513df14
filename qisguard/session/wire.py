"""Layout of the five datagram kinds; every field has a fixed place, integers are big-endian.

====== ====== =========================================================================
kind   name   fields after the kind byte (sizes in bytes)
====== ====== =========================================================================
1      Hello  version 1, nonce 16, client ephemeral 32, server id 32, zeros to 1,200
2      Cookie version 1, nonce 16, cookie 40
3      Auth   version 1, nonce 16, client ephemeral 32, cookie 40, client session 8,
              descriptor length 2, descriptor, signature 64
4      Accept version 1, client session 8, server session 8, server ephemeral 32,
              descriptor length 2, descriptor, signature 64
5      Sealed receiver's session 8, counter 8, ciphertext with tag 16
====== ====== =========================================================================
"""

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from qisguard.config import DATAGRAM_SIZE
from qisguard.errors import DecodeError
from qisguard.identity.descriptor import DESCRIPTOR_SIZE_MAX
from qisguard.identity.keys import SIGNATURE_SIZE

VERSION = 1
HELLO, COOKIE, AUTH, ACCEPT, SEALED = 1, 2, 3, 4, 5
NONCE_SIZE, EPHEMERAL_SIZE, COOKIE_SIZE, SESSION_SIZE, TAG_SIZE = 16, 32, 40, 8, 16

_HELLO = struct.Struct("!BB16s32s32s")
_COOKIE = struct.Struct("!BB16s40s")
_AUTH = struct.Struct("!BB16s32s40s8sH")
_ACCEPT = struct.Struct("!BB8s8s32sH")
_SEALED = struct.Struct("!B8sQ")
_PADDING = bytes(DATAGRAM_SIZE - _HELLO.size)

SEALED_HEADER_SIZE = _SEALED.size
PLAINTEXT_SIZE_MAX = DATAGRAM_SIZE - _SEALED.size - TAG_SIZE


@dataclass(frozen=True, slots=True)
class Hello:
    """A stranger's first word; padded so that no answer is longer."""

    nonce: bytes
    ephemeral: bytes
    server: bytes

    def encode(self) -> bytes:
        """Return the 1,200 byte datagram."""
        head = _HELLO.pack(HELLO, VERSION, self.nonce, self.ephemeral, self.server)
        return head.ljust(DATAGRAM_SIZE, b"\0")


@dataclass(frozen=True, slots=True)
class Cookie:
    """Come back with this, so that I know the address is yours."""

    nonce: bytes
    cookie: bytes

    def encode(self) -> bytes:
        """Return the datagram."""
        return _COOKIE.pack(COOKIE, VERSION, self.nonce, self.cookie)


@dataclass(frozen=True, slots=True)
class Auth:
    """The client's identity and its signature over everything said so far."""

    nonce: bytes
    ephemeral: bytes
    cookie: bytes
    session: bytes
    descriptor: bytes
    signature: bytes

    def unsigned(self) -> bytes:
        """Return the datagram without its signature."""
        size = len(self.descriptor)
        head = (AUTH, VERSION, self.nonce, self.ephemeral, self.cookie, self.session, size)
        return _AUTH.pack(*head) + self.descriptor

    def encode(self) -> bytes:
        """Return the datagram."""
        return self.unsigned() + self.signature


@dataclass(frozen=True, slots=True)
class Accept:
    """The server's identity and its signature over the whole handshake."""

    client_session: bytes
    server_session: bytes
    ephemeral: bytes
    descriptor: bytes
    signature: bytes

    def unsigned(self) -> bytes:
        """Return the datagram without its signature."""
        sessions = (self.client_session, self.server_session)
        head = _ACCEPT.pack(ACCEPT, VERSION, *sessions, self.ephemeral, len(self.descriptor))
        return head + self.descriptor

    def encode(self) -> bytes:
        """Return the datagram."""
        return self.unsigned() + self.signature


class Sealed(NamedTuple):
    """A message under a session's key; a tuple because it is made for every datagram."""

    session: bytes
    counter: int
    ciphertext: bytes
    header: bytes


Datagram: TypeAlias = Hello | Cookie | Auth | Accept | Sealed


def seal_header(session: bytes, counter: int) -> bytes:
    """Return the header of a sealed datagram, which the tag covers as additional data."""
    return _SEALED.pack(SEALED, session, counter)


def decode(data: bytes) -> Datagram:
    """Return the datagram in ``data``; raise DecodeError for anything else. Costs no crypto."""
    if not 1 <= len(data) <= DATAGRAM_SIZE:
        raise DecodeError(f"datagram: {len(data)} bytes, must be 1 to {DATAGRAM_SIZE}")
    kind = data[0]
    if kind == SEALED:
        if len(data) < _SEALED.size + TAG_SIZE:
            raise DecodeError(f"sealed: {len(data)} bytes is too short")
        _, session, counter = _SEALED.unpack_from(data)
        return Sealed(session, counter, data[_SEALED.size :], data[: _SEALED.size])
    if len(data) > 1 and data[1] != VERSION:
        raise DecodeError(f"datagram: version {data[1]}, this node speaks {VERSION}")
    if kind == HELLO:
        if data[_HELLO.size :] != _PADDING:
            raise DecodeError(f"hello: {len(data)} bytes, must be {DATAGRAM_SIZE}, zero padded")
        return Hello(*_HELLO.unpack_from(data)[2:])
    if kind == COOKIE:
        if len(data) != _COOKIE.size:
            raise DecodeError(f"cookie: {len(data)} bytes, must be {_COOKIE.size}")
        return Cookie(*_COOKIE.unpack(data)[2:])
    if kind == AUTH:
        fields = _unpack(_AUTH, data, "auth")
        fields += _split(data, _AUTH.size, fields.pop(), "auth")
        return Auth(*fields)
    if kind == ACCEPT:
        fields = _unpack(_ACCEPT, data, "accept")
        fields += _split(data, _ACCEPT.size, fields.pop(), "accept")
        return Accept(*fields)
    raise DecodeError(f"datagram: kind {kind}, must be 1 to 5")


def _unpack(layout: struct.Struct, data: bytes, name: str) -> list[Any]:
    if len(data) < layout.size:
        raise DecodeError(f"{name}: {len(data)} bytes is too short")
    return list(layout.unpack_from(data)[2:])


def _split(data: bytes, start: int, size: int, name: str) -> tuple[bytes, bytes]:
    """Return descriptor and signature, which must fill the datagram exactly."""
    if size > DESCRIPTOR_SIZE_MAX or len(data) != start + size + SIGNATURE_SIZE:
        raise DecodeError(f"{name}: descriptor of {size} bytes does not fill {len(data)} bytes")
    return data[start : start + size], data[start + size :]
