"""Asking a witness for a cosignature over HTTP (C2SP tlog-witness).

Only the URL that is given is asked: no redirects, no proxies of the environment. What comes back is
bounded, and verified under the key that the policy has for this witness before it counts.
"""

from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from qisguard.errors import DecodeError, ProofError, ScenarioError, ServiceError
from qisguard.trail.checkpoint import Checkpoint, Line, parse_lines, parse_size
from qisguard.trail.cosignature import WitnessKey, merge_cosignatures, verify_cosignatures
from qisguard.trail.witness import PROOF_COUNT_MAX, AddCheckpoint, Status

RESPONSE_SIZE_MAX = 1 << 16
PATIENCE = 10.0
"""Seconds for each wait on the network."""
TRIES = 3
"""Requests to one witness: it may be asked for a newer checkpoint between two of ours."""

Prove = Callable[[int, int], Sequence[bytes]]
"""Returns the consistency proof between two sizes of our log; raises QisguardError."""


def ask_witness(
    url: str, head: Checkpoint, witness: WitnessKey, prove: Prove, old_size: int = 0
) -> Line:
    """Return the verified line of a witness for ``head``.

    ``url`` is its submission prefix; ``old_size`` the size that it is believed to remember, 0 if
    nothing is known.

    Raises:
        ScenarioError: the URL is not one of HTTP or HTTPS.
        ServiceError: it cannot be reached, or refuses; names status and reason.
        ProofError: it remembers more than this log has, or its cosignature is wrong or missing.
        DecodeError: what it answers is malformed.
    """
    for _ in range(TRIES):
        if old_size > head.size:
            raise ProofError(
                f"witness {witness.name!r} remembers size {old_size}, this log has {head.size}: "
                "the end of the log was lost"
            )
        proof = tuple(prove(old_size, head.size)) if old_size else ()
        if len(proof) > PROOF_COUNT_MAX:
            raise ProofError(f"witness: a proof of {len(proof)} hashes, at most {PROOF_COUNT_MAX}")
        status, body = _post(url, AddCheckpoint(old_size, proof, head).encode())
        if status == Status.COSIGNED:
            return _line_of(head, witness, body)
        text = body[:200].decode("utf-8", "replace").strip()
        if status != Status.CONFLICT:
            raise ServiceError(f"witness {witness.name!r}: {status}: {_printable(text)}")
        told = parse_size("witness: size in conflict", text)
        if told == old_size:
            raise ServiceError(f"witness {witness.name!r}: cosigned another root of size {told}")
        old_size = told
    raise ServiceError(f"witness {witness.name!r}: no agreement on a size in {TRIES} tries")


def _line_of(head: Checkpoint, witness: WitnessKey, body: bytes) -> Line:
    """Return the line of the witness in a response; lines of unknown keys are ignored."""
    merged = merge_cosignatures(head, parse_lines(body), [witness])
    if not verify_cosignatures(merged, [witness]):
        raise ProofError(f"witness {witness.name!r}: answered without its cosignature")
    return next(line for line in merged.lines if (line.name, line.id) == (witness.name, witness.id))


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ScenarioError(f"witness: {url[:200]!r} is not an HTTP or HTTPS URL")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=PATIENCE)
    try:
        headers = {"Content-Type": "text/plain", "Connection": "close"}
        connection.request("POST", f"{parts.path.rstrip('/')}/add-checkpoint", body, headers)
        response = connection.getresponse()
        data = response.read(RESPONSE_SIZE_MAX + 1)
    except (OSError, HTTPException, ValueError) as error:
        text = _printable(f"{type(error).__name__}: {error}"[:200])
        raise ServiceError(f"witness {url[:200]!r}: {text}") from None
    finally:
        connection.close()
    if len(data) > RESPONSE_SIZE_MAX:
        raise DecodeError(f"witness: an answer of more than {RESPONSE_SIZE_MAX} bytes")
    return response.status, data


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
