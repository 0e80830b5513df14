"""Time-stamp tokens of an authority (RFC 3161): another notary, trusted by name instead of by work.

The library ``rfc3161-client`` decodes a token and checks its signature and chain by OpenSSL. What
it lets pass is refused here:

- a token without the certificate that signed it, and one with a certificate that is not on the way
  from there to the authority of the policy (somebody put it there);
- words of the server, and versions, outside of what it signed.

Certificates must have been valid at the time that the token names. Nothing here asks whether one
was revoked, or ran out since: who relies on tokens for longer keeps a stamp beside them.
"""

import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import new
from typing import TYPE_CHECKING

from qisguard.errors import DecodeError, ProofError
from qisguard.notary.judgement import Judgement, State

if TYPE_CHECKING:  # loads OpenSSL: only where there is a token
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

TOKEN_SIZE_MAX = 1 << 16
CERTIFICATE_COUNT_MAX = 8
HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_WAY_TO_CERTIFICATES = (1, 1, 0, 3)
"""Elements to skip inside the response, the token, its content and the signed data (RFC 5652)."""
_CERTIFICATES = b"\xa0"
CMS_VERSIONS = (3, 1)
"""Of the signed data and of its signature (RFC 5652, sections 5.1 and 5.3)."""
GRANTED = 0
EXTRA = "qisguard[notary]"


def token_request(text: bytes) -> bytes:
    """Return the request for a token about ``text``: SHA-256, with certificate, without a nonce.

    An old token for the same text would be as true as a new one: there is nothing to replay.

    Raises:
        DecodeError: the library is not installed.
    """
    try:
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder
    except ImportError:
        raise DecodeError(f"RFC 3161 needs rfc3161-client: install {EXTRA}") from None
    builder = TimestampRequestBuilder(text, HashAlgorithm.SHA256, nonce=False, cert_req=True)
    return bytes(builder.build().as_bytes())


def judge_token(text: bytes, token: bytes, authorities: Sequence[Sequence[bytes]]) -> Judgement:
    """Return what a time-stamp response says about a text.

    Args:
        text: the exact text of the checkpoint.
        token: the file, a DER-encoded TimeStampResp.
        authorities: chains of certificates (DER), each with a self-signed root.
    """
    try:
        import rfc3161_client  # noqa: F401 -- whether it is there is what is asked
    except ImportError:
        return Judgement(State.UNVERIFIED, f"RFC 3161 needs rfc3161-client: install {EXTRA}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what cryptography only warns of is refused
            return _judge(text, token, authorities)
    except (DecodeError, ProofError) as error:
        return Judgement(State.REFUTED, str(error))
    except Exception as error:  # the library decodes when a field is read, and raises what it likes
        return Judgement(State.REFUTED, f"token: cannot be decoded: {_reason(error)}")


def _judge(text: bytes, token: bytes, authorities: Sequence[Sequence[bytes]]) -> Judgement:
    from rfc3161_client import VerifierBuilder

    response = _decode(token)
    _check_text(response, text)
    embedded = _certificates(response)
    signer = _signer(response, embedded)
    time = response.tst_info.gen_time.replace(tzinfo=UTC)
    for authority in authorities:
        known = _load(authority)
        path = _path(signer, embedded, known)
        if path is None:
            _check_name(signer, known)
            continue
        for certificate in embedded:
            if certificate not in path:
                raise ProofError(
                    f"token: holds a certificate of {_name(certificate)} that did not sign it"
                )
        for certificate in path:
            _check_valid(certificate, time)
        verifier = VerifierBuilder(
            roots=[one for one in known if one.subject == one.issuer],
            intermediates=[one for one in known if one.subject != one.issuer and _is_ca(one)],
        ).build()
        try:
            verifier.verify(response, response.tst_info.message_imprint.message)
        except Exception as error:  # ValueError of its own, and what OpenSSL makes of it
            raise ProofError(f"token: does not verify: {_reason(error)}") from None
        margin = _accuracy(response)
        return Judgement(
            State.ANCHORED,
            f"existed no later than {time:%Y-%m-%d %H:%M:%S} UTC ({margin} s more or less), "
            f"by the time-stamping authority {_name(signer)}",
            int(time.timestamp()),
            margin,
        )
    return Judgement(
        State.UNVERIFIED, f"the policy knows no authority that vouches for {_name(signer)}"
    )


def _decode(token: bytes) -> "TimeStampResponse":
    from rfc3161_client import decode_timestamp_response

    if len(token) > TOKEN_SIZE_MAX:
        raise DecodeError(f"token: {len(token)} bytes, at most {TOKEN_SIZE_MAX}")
    token = _in_order(token)
    response = decode_timestamp_response(token)
    if response.status != GRANTED or response.status_string:
        raise DecodeError(f"token: status {response.status}, must be granted, without words")
    return response


def _in_order(token: bytes) -> bytes:
    """Return the token with its certificates in the order of DER.

    OpenSSL's authorities write them in the order of the chain, which the library refuses. Nothing
    signs their order, and no length changes with it.
    """
    at = 0
    for skipped in _WAY_TO_CERTIFICATES:
        at, _ = _content(token, at)
        for _ in range(skipped):
            _, at = _content(token, at)
    if token[at : at + 1] != _CERTIFICATES:
        return token
    start, end = _content(token, at)
    certificates, at = [], start
    while at < end:
        _, after = _content(token, at)
        certificates.append(token[at:after])
        at = after
    return token[:start] + b"".join(sorted(certificates)) + token[end:]


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the DER element at ``at`` starts and ends."""
    size, start = data[at + 1], at + 2
    if size > 0x80:
        start += size - 0x80
        size = int.from_bytes(data[at + 2 : start], "big")
    if size == 0x80 or start + size > len(data):
        raise DecodeError(f"token: the element at byte {at} has no end")
    return start, start + size


def _check_text(response: "TimeStampResponse", text: bytes) -> None:
    imprint = response.tst_info.message_imprint
    name = HASHES.get(imprint.hash_algorithm.dotted_string)
    if name is None:
        raise ProofError(f"token: hash {imprint.hash_algorithm.dotted_string} is not accepted")
    digest = new(name, text, usedforsecurity=True).digest()
    if imprint.message != digest:
        raise ProofError(
            f"the token is of another text: its {name} is {imprint.message.hex()}, "
            f"this text has {digest.hex()}"
        )


def _certificates(response: "TimeStampResponse") -> "list[Certificate]":
    found = sorted(response.signed_data.certificates)
    if not found:
        raise ProofError("token: does not hold the certificate that signed it")
    if len(found) > CERTIFICATE_COUNT_MAX:
        raise ProofError(f"token: {len(found)} certificates, at most {CERTIFICATE_COUNT_MAX}")
    return _load([bytes(one) for one in found])


def _load(certificates: Sequence[bytes]) -> "list[Certificate]":
    from cryptography.x509 import load_der_x509_certificate

    return [load_der_x509_certificate(one) for one in certificates]


def _signer(response: "TimeStampResponse", embedded: "Sequence[Certificate]") -> "Certificate":
    """Return the certificate that the one signature of the token names."""
    infos = list(response.signed_data.signer_infos)
    if len(infos) != 1:
        raise ProofError(f"token: {len(infos)} signatures, must be one")
    versions = response.signed_data.version, infos[0].version
    if versions != CMS_VERSIONS:  # OpenSSL does not look at them, and nothing signs them
        raise ProofError(f"token: CMS versions {versions}, must be {CMS_VERSIONS}")
    for certificate in embedded:
        if (certificate.issuer, certificate.serial_number) == (
            infos[0].issuer,
            infos[0].serial_number,
        ):
            return certificate
    raise ProofError("token: does not hold the certificate that signed it")


def _path(
    signer: "Certificate", embedded: "Sequence[Certificate]", known: "Sequence[Certificate]"
) -> "list[Certificate] | None":
    """Return the way from the signer to a self-signed certificate of the policy, both included.

    Where the policy names certificates that are no authority's, the signer must be one of them.
    """
    own = [one for one in known if not _is_ca(one)]
    if own and signer not in own:
        return None
    path = [signer]
    while len(path) <= CERTIFICATE_COUNT_MAX:
        last = path[-1]
        if last.subject == last.issuer:
            return path if last in known else None
        above = [one for one in (*known, *embedded) if one not in path and _issued(one, last)]
        if not above:
            return None
        path.append(above[0])
    return None


def _check_name(signer: "Certificate", known: "Sequence[Certificate]") -> None:
    """Raise ProofError when the signer says that a known authority issued it, which did not."""
    named = [one for one in known if one.subject == signer.issuer]
    if named and not any(_issued(one, signer) for one in named):
        raise ProofError(
            f"token: its certificate says that {_name(named[0])} issued it, whose key did not"
        )


def _issued(issuer: "Certificate", certificate: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_ca(certificate: "Certificate") -> bool:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (ExtensionNotFound, ValueError):
        return False


def _check_valid(certificate: "Certificate", time: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= time <= last:
        raise ProofError(
            f"token: of {time:%Y-%m-%d %H:%M:%S} UTC, but the certificate of "
            f"{_name(certificate)} is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        )


def _accuracy(response: "TimeStampResponse") -> int:
    """Return by how many seconds the time may be off, rounded up; at least one."""
    found = response.tst_info.accuracy
    if found is None:
        return 1
    seconds = getattr(found, "seconds", None) or 0
    rest = getattr(found, "millis", None) or getattr(found, "micros", None)
    return max(1, seconds + (1 if rest else 0))


def _reason(error: Exception) -> str:
    """Return an error of the library in words; OpenSSL's come as a stack of records."""
    records = re.findall(r'(?:reason|data): "([^"]*)"', str(error))
    text = ", ".join(records) or f"{type(error).__name__} {error}"
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def _name(certificate: "Certificate") -> str:
    text = certificate.subject.rfc4514_string()[:120]
    return "".join(char if char.isprintable() else "?" for char in text) or "nobody"
