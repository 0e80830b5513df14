"""What a notary's proof says about a checkpoint: one state, and the reason for it.

A stamp shows that a text existed *no later than* a time. It never shows that it did not exist
earlier, and a promise shows nothing. One false statement condemns the whole file: who wants the
true part of it removes the false one first.
"""

from datetime import UTC, datetime

from qisguard.errors import DecodeError, ProofError
from qisguard.notary.batches import decode_receipt, verify_receipt
from qisguard.notary.headers import HASH_SIZE, Headers
from qisguard.notary.judgement import Judgement, State
from qisguard.notary.policy import NotaryPolicy
from qisguard.notary.stamps import (
    OPERATIONS,
    SHA256,
    Bitcoin,
    Operation,
    Pending,
    Stamp,
    decode_stamp,
    walk,
)
from qisguard.notary.tokens import judge_token

__all__ = ["Judgement", "State", "judge", "judge_stamp"]

BLOCK_TIME_MARGIN = 2 * 3_600
"""Seconds by which a block's time may be off: nodes take blocks up to two hours in their future."""


DER_SEQUENCE, OBJECT = b"\x30", b"{"
"""First bytes of a time-stamp response and of a receipt; OpenTimestamps files start with zero."""


def judge(
    text: bytes, proof: bytes | None, headers: Headers | None, policy: NotaryPolicy
) -> Judgement:
    """Return what ``proof`` says about a checkpoint; never raises for what is in it.

    Args:
        text: the exact text of the checkpoint, without its signature lines.
        proof: the file beside it, None when there is none.
        headers: the archive as ``open_headers`` returned it, None when there is none.
        policy: what is trusted, from outside of what is judged.
    """
    if proof is None:
        return Judgement(State.NONE, "there is no stamp")
    if proof[:1] == OBJECT:
        return _judge_receipt(text, proof, headers, policy)
    if proof[:1] == DER_SEQUENCE:
        return judge_token(text, proof, policy.authorities)
    try:
        stamp = decode_stamp(proof)
    except DecodeError as error:
        return Judgement(State.REFUTED, str(error))
    return judge_stamp(text, stamp, headers, policy)


def _judge_receipt(
    text: bytes, data: bytes, headers: Headers | None, policy: NotaryPolicy
) -> Judgement:
    try:
        receipt = decode_receipt(data)
        verify_receipt(text, receipt)
    except (DecodeError, ProofError) as error:
        return Judgement(State.REFUTED, str(error))
    if policy.batchers and receipt.key not in policy.batchers:
        return Judgement(State.UNVERIFIED, "the policy does not know who made the batch")
    if not receipt.stamp:
        return Judgement(State.NONE, "the batch has no stamp yet")
    if receipt.stamp[:1] == OBJECT:
        return Judgement(State.REFUTED, "receipt: of a batch of batches")
    found = judge(receipt.head, receipt.stamp, headers, policy)
    body = receipt.body
    reason = f"in a batch, number {body.index} of {body.count}: {found.reason}"
    return Judgement(found.state, reason, found.time, found.margin)


def judge_stamp(
    text: bytes, stamp: Stamp, headers: Headers | None, policy: NotaryPolicy
) -> Judgement:
    """Return what a decoded OpenTimestamps file says about a text."""
    digest = Operation(stamp.operation).apply(text)
    if digest is not None and digest != stamp.digest:
        return Judgement(
            State.REFUTED,
            f"the stamp is of another text: its digest is {stamp.digest.hex()}, "
            f"this text has {digest.hex()}",
        )
    found = [
        _judge_block(message, attestation.height, headers, policy)
        for message, attestation in walk(stamp.timestamp, stamp.digest)
        if isinstance(attestation, Bitcoin)
    ]
    for state in (State.REFUTED, State.ANCHORED, State.UNVERIFIED):
        those = [judgement for judgement in found if judgement.state is state]
        if those:
            best = min(those, key=lambda judgement: judgement.time or 0)
            break
    else:
        best = _without_block(stamp)
    if stamp.operation != SHA256 and best.state is State.ANCHORED:
        used = OPERATIONS[stamp.operation]
        return Judgement(
            State.UNVERIFIED, f"the text is named by its {used}, must be sha256; {best.reason}"
        )
    return best


def _without_block(stamp: Stamp) -> Judgement:
    uris = sorted(
        {
            attestation.uri
            for _, attestation in walk(stamp.timestamp, stamp.digest)
            if isinstance(attestation, Pending)
        }
    )
    if not uris:
        return Judgement(State.NONE, "it holds only attestations of other kinds")
    more = f" and {len(uris) - 1} more" if len(uris) > 1 else ""
    return Judgement(State.PENDING, f"only a promise of the calendar {uris[0]}{more}")


def _judge_block(
    message: bytes | None, height: int, headers: Headers | None, policy: NotaryPolicy
) -> Judgement:
    if message is None:
        return Judgement(
            State.UNVERIFIED, f"block {height} is reached through a hash that is not followed"
        )
    if len(message) != HASH_SIZE:
        return Judgement(
            State.REFUTED, f"block {height}: {len(message)} bytes are said to be its Merkle root"
        )
    header = None if headers is None else headers.header(height)
    if headers is None:
        return Judgement(State.UNVERIFIED, f"block {height}: there is no header archive")
    if header is None:
        return Judgement(
            State.UNVERIFIED,
            f"block {height}: the header archive holds {headers.start} to {headers.tip}",
        )
    if header.root != message:
        return Judgement(
            State.REFUTED,
            f"block {height}: its Merkle root is {header.root.hex()}, the stamp leads to "
            f"{message.hex()}",
        )
    if headers.pinned is None:
        return Judgement(
            State.UNVERIFIED,
            f"block {height}: the header archive holds no block that the policy names",
        )
    depth = headers.tip - height + 1
    if height > headers.pinned and depth < policy.confirmations:
        return Judgement(
            State.UNVERIFIED,
            f"block {height}: {depth} confirmations, the policy wants {policy.confirmations}",
        )
    wanted = headers.missing_before(height + policy.confirmations - 1)
    if height > headers.pinned and wanted is not None:
        return Judgement(
            State.UNVERIFIED,
            f"block {height}: the header archive must start at {wanted}, the period before its own",
        )
    return Judgement(
        State.ANCHORED,
        f"existed no later than {_shown(header.time)} (block {height}, two hours more or less), "
        f"by a header archive that holds the known block {headers.pinned}",
        header.time,
        BLOCK_TIME_MARGIN,
    )


def _shown(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
