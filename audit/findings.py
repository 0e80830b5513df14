"""What an audit says: findings with stable ids, and what each id means.

The ids are those of the steps of the audit: 1x the log itself, 2x what is in it, 3x what others
saw of it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

FINDING_COUNT_MAX = 20
"""Findings of one check in one trail that are listed one by one; the rest is counted."""


class Severity(StrEnum):
    """How bad a finding is."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the audit, in the reader's words; ``remedy`` is what to do about a finding."""

    title: str
    severity: Severity
    explanation: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something false in ``file`` of ``trail``; ``summary`` says what is wrong, and where."""

    id: str
    severity: Severity
    trail: str
    file: str
    summary: str
    remedy: str


CHECKS = {
    "AUD-10": Check(
        "the checkpoint is well formed",
        Severity.HIGH,
        "The file `checkpoint` must be a signed note of exactly three lines of text: origin, size "
        "as a decimal without leading zeros, root as canonical base64. Every checkpoint has one "
        "spelling only, so that two copies can be compared byte by byte (C2SP signed-note, "
        "tlog-checkpoint).",
        "restore `checkpoint` from the node or from a mirror, byte for byte",
    ),
    "AUD-11": Check(
        "the checkpoint is signed by the log that the policy trusts",
        Severity.HIGH,
        "The origin must be a log of the trust policy and the signature must verify under that "
        "log's key. A bad signature of any key of the policy condemns the whole note; lines of "
        "unknown keys are ignored.",
        "ask the operator which key signs this log, and compare it with the policy by another way",
    ),
    "AUD-12": Check(
        "the folder holds exactly the files that the size implies",
        Severity.HIGH,
        "The size alone says which tiles and entry bundles exist and how long they are (C2SP "
        "tlog-tiles). Nothing may be missing, truncated or added; every file is a regular file; "
        "every packet is named by an entry. Files beyond the size can also be left by a writer "
        "that was interrupted between writing and signing.",
        "if the node was interrupted, start it once so that it finishes; else restore what is "
        "missing from a mirror, and keep what does not belong as evidence",
    ),
    "AUD-13": Check(
        "the entries have the root that was signed",
        Severity.HIGH,
        "Every entry is hashed again and the whole tree computed from it; no tile is trusted. The "
        "file named is the one that contradicts the signed root; it is `checkpoint` itself when "
        "entries and tiles agree with each other against it.",
        "somebody changed what had been logged: keep the folder as evidence, compare with a mirror",
    ),
    "AUD-14": Check(
        "the log only ever grew",
        Severity.CRITICAL,
        "Every earlier checkpoint that the policy holds, and every other copy given, must be the "
        "beginning of this log: same root at its size, and no smaller size than one seen before.",
        "the log was rewritten or rolled back: keep both copies, and stop trusting its key",
    ),
    "AUD-20": Check(
        "entries and packets are genuine",
        Severity.HIGH,
        "Entries and packets decode strictly, in their one deterministic encoding; a packet's file "
        "name is the SHA-256 of its content; its Ed25519 signature verifies under an author key "
        "of the prime-order group.",
        "an erased packet is no finding but a changed one is: remove or restore the file",
    ),
    "AUD-21": Check(
        "authors belong to an issuer that runs this node",
        Severity.HIGH,
        "The author of every published packet is on the signed roster, its issuer was enrolled on "
        "the day of the entry, and this log's node is one of the issuer's nodes. The node is "
        "recognised by the last part of the log's origin, the first 16 hex digits of its id.",
        "check the roster of that day with the network's authority",
    ),
    "AUD-22": Check(
        "nothing is replayed, backdated or contradicted",
        Severity.HIGH,
        "Days never go back within a log; a packet is of this network, not from after its entry "
        "and not expired before it; its sequence numbers per (author, case) are unique over all "
        "logs given, and rise with the order of the log and with the days of the entries.",
        "ask the issuer for its own records of the case; two packets of one number are evidence",
    ),
    "AUD-30": Check(
        "witnesses saw the log in order and in time",
        Severity.HIGH,
        "Every cosignature of a witness of the policy verifies, none is from the future, and no "
        "witness cosigned a larger size before a smaller one. Lines of unknown keys are ignored: "
        "a quorum that only they would make is not reached, and then the audit is incomplete.",
        "ask the witness what it cosigned; a line that does not verify was made by somebody else",
    ),
    "AUD-31": Check(
        "the log shows everybody the same tree",
        Severity.CRITICAL,
        "Two notes with valid signatures of one log, of one size and with different roots: the log "
        "showed different histories to different readers. The two notes convince a stranger; they "
        "can also lie as a file below `evidence/` of any trail that is audited.",
        "keep both notes unchanged, show them to the other members, and retire this log",
    ),
    "AUD-40": Check(
        "proofs of time are about this log and lead where they say",
        Severity.HIGH,
        "A proof in `notary/` is about the exact text of the checkpoint of its size, its steps "
        "lead to a Merkle root of a block that the header archive holds, and the archive has work, "
        "links and the block that the policy names. A promise, or a block that the archive does "
        "not hold, is no finding: the audit is incomplete then.",
        "remove the proof that is false, stamp again, and ask where the false one came from",
    ),
}


@dataclass(slots=True)
class Findings:
    """The findings of one trail: listed up to a limit per check, counted beyond it."""

    trail: str
    listed: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, check: str, file: str, summary: str) -> None:
        """Record one finding of ``check`` in ``file``."""
        self.counts[check] = self.counts.get(check, 0) + 1
        if self.counts[check] <= FINDING_COUNT_MAX:
            found = CHECKS[check]
            self.listed.append(
                Finding(check, found.severity, self.trail, file, summary, found.remedy)
            )

    def count(self, check: str, number: int) -> None:
        """Record findings of ``check`` that are beyond the limit, without listing them."""
        self.counts[check] = self.counts.get(check, 0) + number

    def absorb(self, other: "Findings") -> None:
        """Add what a part of the same trail found; ``trail`` of ``other`` does not matter."""
        for found in other.listed:
            self.add(found.id, found.file, found.summary)
        for check, number in other.counts.items():
            listed = sum(found.id == check for found in other.listed)
            self.counts[check] = self.counts.get(check, 0) + number - listed

    def without(self, checks: Collection[str]) -> "Findings":
        """Return these findings less those of some checks."""
        listed = [found for found in self.listed if found.id not in checks]
        counts = {check: n for check, n in self.counts.items() if check not in checks}
        return Findings(self.trail, listed, counts)

    def all(self) -> list[Finding]:
        """Return the findings in order of check and file, with one line for those not listed."""
        result = sorted(self.listed, key=lambda found: (found.id, found.file, found.summary))
        for check in sorted(self.counts):
            if more := max(0, self.counts[check] - FINDING_COUNT_MAX):
                known = CHECKS[check]
                result.append(
                    Finding(
                        check,
                        known.severity,
                        self.trail,
                        "",
                        f"{more} more findings of this check are not listed",
                        known.remedy,
                    )
                )
        return result


def printable(text: str, limit: int = 120) -> str:
    """Return ``text`` fit for a terminal: a file name may hold anything, escape codes too."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text[:limit]
    )
    return shown if len(text) <= limit else shown + "…"
