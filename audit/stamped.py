"""Proofs of time beside a log: about its checkpoints, and as good as they say (AUD-40)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qisguard.audit.beside import ARCHIVE, NOTARY, Beside, Proof
from qisguard.audit.findings import Findings
from qisguard.errors import QisguardError
from qisguard.notary.batches import decode_receipt, verify_receipt
from qisguard.notary.headers import Headers, open_headers
from qisguard.notary.judgement import Judgement, State
from qisguard.notary.judging import judge
from qisguard.notary.policy import NotaryPolicy
from qisguard.notary.tokens import judge_token
from qisguard.trail.checkpoint import Checkpoint


@dataclass(slots=True)
class Stamped:
    """The proofs of one log; ``marks`` are (size, seconds since 1970) of those that prove."""

    marks: list[tuple[int, int]] = field(default_factory=list)
    waiting: list[Proof] = field(default_factory=list)
    """Proofs of sizes whose text is known once the tree is computed."""
    roots: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    """File and root of copies, to be compared with the tree."""
    headers: Headers | None = None
    anchored: int = 0
    unmeasured: list[str] = field(default_factory=list)


def judge_proofs(
    head: Checkpoint, beside: Beside, policy: NotaryPolicy | None, out: Findings
) -> Stamped:
    """Judge what can be judged before the tree is computed."""
    found = Stamped()
    known = policy or NotaryPolicy()
    if beside.archive is not None:
        try:
            found.headers = open_headers(beside.archive, known.network, known.blocks)
        except QisguardError as error:
            out.add("AUD-40", f"{NOTARY}/{ARCHIVE}", str(error))
    texts = {head.size: head.text}
    for file, size, note in beside.copies:
        if (note.origin, note.size) != (head.origin, size):
            out.add("AUD-40", file, "is a note of another log or size")
        else:
            texts.setdefault(size, note.text)
            found.roots[size] = (file, note.root)
    for proof in beside.proofs:
        if proof.size in texts:
            _judge(proof, texts[proof.size], found, known, out)
        else:
            found.waiting.append(proof)
    return found


def judge_late(
    head: Checkpoint,
    found: Stamped,
    roots: Mapping[int, bytes],
    policy: NotaryPolicy | None,
    out: Findings,
) -> None:
    """Judge the rest by the ``roots`` that were computed, and compare copies with them."""
    for size, (file, copied) in sorted(found.roots.items()):
        if roots.get(size, copied) != copied:
            said = f"root {copied.hex()} of size {size} is not that of this log"
            out.add("AUD-40", file, said)
    for proof in found.waiting:
        root = roots.get(proof.size)
        if root is None:
            if proof.size > head.size:
                said = f"is about size {proof.size}, this log has {head.size}: rolled back"
                out.add("AUD-14", proof.file, said)
            else:
                found.unmeasured.append(f"{proof.file}: the root of its size is not known")
            continue
        text = Checkpoint(head.origin, proof.size, root).text
        _judge(proof, text, found, policy or NotaryPolicy(), out)
    if policy is not None and not found.anchored:
        found.unmeasured.append("time: the policy wants proofs of time, and none is complete here")


def _judge(proof: Proof, text: bytes, found: Stamped, policy: NotaryPolicy, out: Findings) -> None:
    match proof.kind:
        case "ots":
            said = judge(text, proof.data, found.headers, policy)
        case "tsr":
            said = judge_token(text, proof.data, policy.authorities)
        case _:
            said = _judge_receipt(text, proof.data, found.headers, policy)
    _note(proof, said, found, out)


def _judge_receipt(
    text: bytes, data: bytes, headers: Headers | None, policy: NotaryPolicy
) -> Judgement:
    """Return what a batch receipt says: the text is in the batch, and the batch was stamped."""
    try:
        receipt = decode_receipt(data)
        verify_receipt(text, receipt)
    except QisguardError as error:
        return Judgement(State.REFUTED, str(error))
    if policy.batchers and receipt.key not in policy.batchers:
        return Judgement(State.UNVERIFIED, "its batch was made by nobody whom the policy names")
    return judge(receipt.head, receipt.stamp or None, headers, policy)


def _note(proof: Proof, said: Judgement, found: Stamped, out: Findings) -> None:
    if said.state is State.REFUTED:
        out.add("AUD-40", proof.file, said.reason)
    elif said.state is State.ANCHORED and said.time is not None:
        found.anchored += 1
        found.marks.append((proof.size, said.time + said.margin))
    else:
        found.unmeasured.append(f"{proof.file}: {said.state}: {said.reason}")
