"""Scope files: attacks leave the machine only for private targets that consented, for a while."""

from dataclasses import replace

import pytest

from qisguard.errors import DecodeError, IdentityError, ProofError, QisguardError
from qisguard.identity.keys import KeyPair
from qisguard.identity.scope import (
    Scope,
    Target,
    check,
    consent,
    is_private,
    open_scope,
    read_draft,
    seal_scope,
    write_draft,
)

AUTHORITY, OWNER, OTHER = (KeyPair.from_seed(bytes([n]) * 32) for n in (1, 2, 3))
NETWORK = bytes(32)
BEGINS, ENDS = 1_000_000, 1_000_000 + 86_400
DRAFT = Scope(
    NETWORK, ("malformed",), BEGINS, ENDS, (Target("10.1.2.3", (4_400, 4_410), OWNER.public),)
)


def _agreed(draft: Scope = DRAFT) -> Scope:
    return replace(draft, targets=tuple(consent(draft, t, OWNER) for t in draft.targets))


def test_a_scope_lets_its_attacks_reach_its_targets_in_its_time() -> None:
    scope = open_scope(seal_scope(_agreed(), AUTHORITY), NETWORK, AUTHORITY.public)
    assert scope == _agreed()
    assert scope.refusal(("10.1.2.3", 4_405), "malformed", BEGINS) == ""


@pytest.mark.parametrize(
    ("host", "port", "attack", "now", "words"),
    [
        ("10.1.2.3", 4_411, "malformed", BEGINS, "not among the 1 targets"),
        ("10.1.2.4", 4_405, "malformed", BEGINS, "not among the 1 targets"),
        ("10.1.2.3", 4_405, "hello_flood", BEGINS, "not hello_flood"),
        ("10.1.2.3", 4_405, "malformed", BEGINS - 1, "valid from"),
        ("10.1.2.3", 4_405, "malformed", ENDS, "valid from"),
        ("8.8.8.8", 4_405, "malformed", BEGINS, "no private address"),
        ("localhost", 4_405, "malformed", BEGINS, "no private address"),
    ],
)
def test_everything_else_is_refused_with_the_reason(
    host: str, port: int, attack: str, now: int, words: str
) -> None:
    assert words in _agreed().refusal((host, port), attack, now)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.0.0.1", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.9.9", True),
        ("169.254.1.1", False),
        ("100.64.0.1", False),
        ("1.1.1.1", False),
        ("fd00::1", True),
        ("fe80::1", False),
        ("2001:db8::1", False),
        ("::ffff:10.0.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_only_ranges_that_nobody_routes_are_private(host: str, private: bool) -> None:
    assert is_private(host) is private


@pytest.mark.parametrize("host", ["8.8.8.8", "2001:db8::1", "127.0.0.1", "224.0.0.1"])
def test_no_authority_can_sign_a_public_address(host: str) -> None:
    draft = replace(DRAFT, targets=(replace(DRAFT.targets[0], host=host),))
    with pytest.raises(IdentityError, match="is not private"):
        seal_scope(_agreed(draft), AUTHORITY)


def test_a_target_that_did_not_consent_is_no_target() -> None:
    with pytest.raises(ProofError, match="has not consented"):
        seal_scope(DRAFT, AUTHORITY)


@pytest.mark.parametrize(
    "change",
    [
        {"attacks": ("malformed", "hello_flood")},
        {"expires": ENDS + 1},
        {"begins": BEGINS - 1},
        {"network": bytes([1]) * 32},
    ],
)
def test_consent_is_to_these_terms_and_no_others(change: dict[str, object]) -> None:
    with pytest.raises(ProofError, match="has not consented"):
        check(replace(_agreed(), **change))  # type: ignore[arg-type] # one field at a time


def test_consent_covers_host_and_ports() -> None:
    scope = _agreed()
    for change in ({"host": "10.1.2.4"}, {"ports": (4_400, 4_411)}):
        moved = replace(scope.targets[0], **change)
        with pytest.raises(ProofError, match="has not consented"):
            check(replace(scope, targets=(moved,)))


def test_nobody_consents_for_somebody_else() -> None:
    with pytest.raises(IdentityError, match="this identity is"):
        consent(DRAFT, DRAFT.targets[0], OTHER)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": ()}, "0 targets"),
        ({"attacks": ()}, "allows no attack"),
        ({"expires": BEGINS}, "up to 30 days"),
        ({"expires": BEGINS + 31 * 86_400}, "up to 30 days"),
    ],
)
def test_terms_are_bounded(change: dict[str, object], words: str) -> None:
    draft = replace(DRAFT, **change)  # type: ignore[arg-type] # one field at a time
    with pytest.raises(IdentityError, match=words):
        seal_scope(_agreed(draft), AUTHORITY)


def test_a_scope_of_another_authority_or_network_opens_nothing() -> None:
    data = seal_scope(_agreed(), AUTHORITY)
    with pytest.raises(ProofError):
        open_scope(data, NETWORK, OTHER.public)
    with pytest.raises(IdentityError, match="another network"):
        open_scope(data, bytes([9]) * 32, AUTHORITY.public)


def test_one_flipped_bit_anywhere_in_the_file_opens_nothing() -> None:
    data = bytearray(seal_scope(_agreed(), AUTHORITY))
    for at in range(len(data)):
        data[at] ^= 1
        with pytest.raises(QisguardError):
            open_scope(bytes(data), NETWORK, AUTHORITY.public)
        data[at] ^= 1


def test_a_draft_is_read_as_it_was_written_and_nothing_else_is() -> None:
    assert read_draft(write_draft(DRAFT)) == DRAFT
    assert read_draft(write_draft(_agreed())) == _agreed()
    for data in (b"", b"{}", b"[1]", write_draft(DRAFT).replace(b"10.1.2.3", b"example")):
        with pytest.raises(DecodeError):
            read_draft(data)
