"""What a handshake signs, and the keys that follow from it.

- The client signs ``A = SHA-256(auth tag ‖ server id ‖ Auth without signature)``.
- The server signs ``F = SHA-256(accept tag ‖ A ‖ client's signature ‖ Accept without signature)``:
  each side has signed everything that was said, and to whom.
- ``crypto_kx`` gives one key a direction from the ephemerals; ``BLAKE2b-256(F, key)`` binds it to
  the transcript.
"""

from collections.abc import Callable
from hashlib import blake2b, sha256

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_kx_client_session_keys, crypto_kx_server_session_keys
from nacl.exceptions import CryptoError

from qisguard.errors import ProofError
from qisguard.identity.keys import ACCEPT_TAG, AUTH_TAG

Ciphers = tuple[ChaCha20Poly1305, ChaCha20Poly1305]
"""Receiver and sender of one side."""


def auth_hash(server: bytes, unsigned: bytes) -> bytes:
    """Return what the client signs; ``server`` is the 32-byte id that it wants to talk to."""
    return sha256(AUTH_TAG + server + unsigned).digest()


def accept_hash(auth: bytes, signature: bytes, unsigned: bytes) -> bytes:
    """Return what the server signs: ``auth`` is the hash that the client signed."""
    return sha256(ACCEPT_TAG + auth + signature + unsigned).digest()


def client_ciphers(public: bytes, secret: bytes, server: bytes, final: bytes) -> Ciphers:
    """Return the client's ciphers; raise ProofError for an ephemeral of low order."""
    return _ciphers(crypto_kx_client_session_keys, public, secret, server, final)


def server_ciphers(public: bytes, secret: bytes, client: bytes, final: bytes) -> Ciphers:
    """Return the server's ciphers; raise ProofError for an ephemeral of low order."""
    return _ciphers(crypto_kx_server_session_keys, public, secret, client, final)


def _ciphers(
    exchange: Callable[[bytes, bytes, bytes], tuple[bytes, bytes]],
    public: bytes,
    secret: bytes,
    other: bytes,
    final: bytes,
) -> Ciphers:
    try:
        receive, send = exchange(public, secret, other)
    except CryptoError:
        raise ProofError("ephemeral: of low order, the shared secret would be known") from None
    return _cipher(receive, final), _cipher(send, final)


def _cipher(key: bytes, final: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(blake2b(final, key=key, digest_size=32).digest())
