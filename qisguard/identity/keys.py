"""Ed25519 keys with one purpose each, and signatures that name their purpose.

Every signature covers ``tag ‖ body``, where the tag says what kind of thing was signed, so that a
signature made for one purpose never verifies for another. Public keys are enrolled only if they
are points of the prime-order group: then no two verifiers can disagree about a signature.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from qisguard.errors import DecodeError, IdentityError, ProofError

KEY_SIZE = 32
SIGNATURE_SIZE = 64

PACKET_TAG = b"qisguard/packet/v1\n"
DESCRIPTOR_TAG = b"qisguard/descriptor/v1\n"
RECORD_TAG = b"qisguard/provider-record/v1\n"
INDEX_TAG = b"qisguard/index-record/v1\n"
AUTH_TAG = b"qisguard/auth/v1\n"
ACCEPT_TAG = b"qisguard/accept/v1\n"
NETWORK_TAG = b"qisguard/network/v1\n"
ROSTER_TAG = b"qisguard/roster/v1\n"
SCOPE_TAG = b"qisguard/scope/v1\n"
CONSENT_TAG = b"qisguard/consent/v1\n"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A signing key. The secret half never appears in ``repr``."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> "KeyPair":
        """Return the key pair that a 32-byte seed determines (RFC 8032, section 5.1.5)."""
        return cls(*crypto_sign_seed_keypair(seed))

    def sign(self, tag: bytes, body: bytes) -> bytes:
        """Return the 64-byte signature over ``tag ‖ body``."""
        return crypto_sign(tag + body, self.secret)[:SIGNATURE_SIZE]


def verify(public: bytes, tag: bytes, body: bytes, signature: bytes) -> None:
    """Raise ProofError unless ``signature`` is the holder of ``public`` signing ``tag ‖ body``."""
    if len(public) != KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        raise ProofError(
            f"signature: key of {len(public)} and signature of {len(signature)} bytes, "
            f"must be {KEY_SIZE} and {SIGNATURE_SIZE}"
        )
    try:
        crypto_sign_open(signature + tag + body, public)
    except BadSignatureError:
        raise ProofError("signature: does not verify under the key it names") from None


def check_enrollable(public: bytes) -> None:
    """Raise IdentityError unless ``public`` is a canonical point of the prime-order group."""
    if len(public) != KEY_SIZE or not crypto_core_ed25519_is_valid_point(public):
        raise IdentityError("public key: not a point of the prime-order group, cannot be enrolled")


def to_text(data: bytes) -> str:
    """Return unpadded base64url, the form of keys and digests in JSON."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_text(text: str, size: int) -> bytes:
    """Return the ``size`` bytes behind unpadded base64url; raise DecodeError unless canonical."""
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise DecodeError(f"base64url: {text[:60]!r} is not base64url") from None
    if len(data) != size or to_text(data) != text:
        raise DecodeError(f"base64url: {text[:60]!r} is not the canonical form of {size} bytes")
    return data
