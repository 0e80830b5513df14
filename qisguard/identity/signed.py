"""A signed file: one line of deterministic JSON and one line with its signature.

People can read it, any tool can split it, and the bytes that were signed are the bytes in the file.
"""

from typing import TypeVar

import msgspec

from qisguard.errors import DecodeError
from qisguard.identity.keys import SIGNATURE_SIZE, KeyPair, from_text, to_text, verify

FILE_SIZE_MAX = 4 << 20

T = TypeVar("T")


def seal(tag: bytes, value: object, key: KeyPair) -> bytes:
    """Return the signed file that holds ``value``."""
    body = msgspec.json.encode(value, order="deterministic")
    return body + b"\n" + to_text(key.sign(tag, body)).encode() + b"\n"


def unseal(tag: bytes, data: bytes, public: bytes, kind: type[T]) -> T:
    """Return what the holder of ``public`` signed.

    Raises:
        DecodeError: not two lines, not of this kind, or not the deterministic encoding.
        ProofError: the signature is not that of ``public`` for this tag.
    """
    if len(data) > FILE_SIZE_MAX:
        raise DecodeError(f"signed file: {len(data)} bytes, at most {FILE_SIZE_MAX}")
    lines = data.split(b"\n")
    if len(lines) != 3 or lines[2]:
        raise DecodeError("signed file: must be two lines, a JSON body and a signature")
    verify(public, tag, lines[0], from_text(lines[1].decode("latin-1"), SIGNATURE_SIZE))
    try:
        value = msgspec.json.decode(lines[0], type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"signed file: {error}") from None
    if msgspec.json.encode(value, order="deterministic") != lines[0]:
        raise DecodeError("signed file: body is not in its deterministic encoding")
    return value
