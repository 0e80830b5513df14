"""A time-stamping authority of our own: certificates made here, tokens made by ``openssl ts``."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
FAR = datetime(2101, 1, 1, tzinfo=UTC)
CONFIG = """
[tsa]
default_tsa = here
[here]
dir = {folder}
serial = $dir/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ordering = no
ess_cert_id_alg = sha256
"""


@dataclass
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate's bytes."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate as people exchange it."""
        return self.certificate.public_bytes(Encoding.PEM)


def certify(
    name: str,
    by: Signed | None,
    *,
    is_ca: bool = False,
    until: datetime = FAR,
    may_stamp: bool = True,
) -> Signed:
    """Return a certificate by ``by``, or a self-signed one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(LONG_AGO)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    )
    if may_stamp and not is_ca:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(usage, critical=True)
    return Signed(builder.sign(key if by is None else by.key, hashes.SHA256()), key)


@dataclass
class Authority:
    """A root and a signer below it, in a folder that ``openssl ts`` works in."""

    folder: Path
    root: Signed = field(default_factory=lambda: certify("test root", None, is_ca=True))
    until: datetime = FAR

    def __post_init__(self) -> None:
        self.signer = certify("test authority", self.root, until=self.until)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("signer.pem", self.signer.pem)
        key = self.signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._write("key.pem", key)
        self._write("serial", b"01\n")
        self._write("ts.cnf", CONFIG.format(folder=self.folder).encode())

    @property
    def chain(self) -> tuple[bytes, ...]:
        """What a policy names: signer and root."""
        return self.signer.der, self.root.der

    @property
    def policy(self) -> str:
        """The policy as a file."""
        pem = (self.signer.pem + self.root.pem).decode()
        return f"[[authority]]\ncertificates = '''\n{pem}'''\n"

    def answer(self, request: bytes, extra: Sequence[Signed] = ()) -> bytes:
        """Return the response to a request; ``extra`` certificates are put in beside."""
        if shutil.which("openssl") is None:
            pytest.skip("the command openssl is not installed")
        self._write("request.tsq", request)
        command = ["openssl", "ts", "-reply", "-config", "ts.cnf", "-queryfile", "request.tsq"]
        command += ["-signer", "signer.pem", "-inkey", "key.pem", "-out", "response.tsr"]
        if extra:
            self._write("extra.pem", b"".join(one.pem for one in extra))
            command += ["-chain", "extra.pem"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "response.tsr").read_bytes()

    def _write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)


def yesterday() -> datetime:
    """Return a time that is past whatever the clock of this machine says."""
    return LONG_AGO + timedelta(days=1)
