"""RFC 3161 tokens: those of ``openssl ts`` and of others, and each way in which one is false."""

import random
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qisguard.errors import ScenarioError
from qisguard.notary.judgement import Judgement, State
from qisguard.notary.judging import judge
from qisguard.notary.policy import NotaryPolicy, parse_notary_policy
from qisguard.notary.tokens import token_request
from tests.authorities import Authority, certify, yesterday
from tests.notaries import TEXT, vectors

pytest.importorskip("rfc3161_client", reason="rfc3161-client is not installed")


def judged(token: bytes, *authorities: tuple[bytes, ...], text: bytes = TEXT) -> Judgement:
    """Return what a token says to whom these authorities are trusted."""
    return judge(text, token, None, NotaryPolicy(authorities=authorities))


def test_a_token_of_openssl_is_anchored_with_its_time_and_openssl_agrees(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    token = authority.answer(token_request(TEXT))
    policy = parse_notary_policy(authority.policy.encode())
    found = judge(TEXT, token, None, policy)
    assert found.state is State.ANCHORED
    assert found.time is not None
    assert "by the time-stamping authority CN=test authority" in found.reason
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "root").write_bytes(authority.root.pem)
    command = ["openssl", "ts", "-verify", "-data", "text", "-in", "token", "-CAfile", "root"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout + done.stderr


def test_a_root_alone_vouches_for_any_signer_and_a_named_signer_for_itself(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    token = authority.answer(token_request(TEXT))
    other = certify("another signer", authority.root)
    assert judged(token, (authority.root.der,)).state is State.ANCHORED
    assert judged(token, (other.der, authority.root.der)).state is State.UNVERIFIED
    stranger = certify("somebody", None, is_ca=True)
    assert judged(token, (stranger.der,), (authority.root.der,)).state is State.ANCHORED


def test_an_authority_that_nobody_named_proves_nothing(tmp_path: Path) -> None:
    token = Authority(tmp_path).answer(token_request(TEXT))
    for known in ((), ((certify("somebody", None, is_ca=True).der,),)):
        found = judged(token, *known)
        assert found.state is State.UNVERIFIED
        assert "no authority that vouches for CN=test authority" in found.reason


def test_an_authority_that_took_the_name_of_a_known_one_is_refuted(tmp_path: Path) -> None:
    impostor = Authority(tmp_path / "one")
    real = Authority(tmp_path / "two")
    found = judged(impostor.answer(token_request(TEXT)), real.chain)
    assert found.state is State.REFUTED
    assert "whose key did not" in found.reason


def test_a_token_for_another_message_is_refuted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    token = authority.answer(token_request(TEXT + b"x"))
    found = judged(token, authority.chain)
    assert found.state is State.REFUTED
    assert "of another text: its sha256 is" in found.reason


def test_a_certificate_that_had_expired_is_refuted(tmp_path: Path) -> None:
    authority = Authority(tmp_path, until=yesterday())
    found = judged(authority.answer(token_request(TEXT)), authority.chain)
    assert found.state is State.REFUTED
    assert "is valid from 2001-01-01 to 2001-01-02" in found.reason


def test_a_certificate_that_did_not_sign_is_refuted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    request = token_request(TEXT)
    for _ in range(4):  # the library wants certificates in order; whose comes first is chance
        whole = authority.answer(request, [authority.root])
        assert judged(whole, authority.chain).state is State.ANCHORED
        authority = Authority(tmp_path)
    for injected in (certify("test authority", authority.root), certify("x", None, is_ca=True)):
        found = judged(authority.answer(request, [injected]), authority.chain)
        assert found.state is State.REFUTED
        assert "that did not sign it" in found.reason


def test_a_token_without_its_certificate_is_refuted(tmp_path: Path) -> None:
    """The last byte but one of the request asks for the certificate."""
    authority = Authority(tmp_path)
    request = token_request(TEXT)
    assert request.endswith(b"\x01\x01\xff")
    shorter = bytes([request[0], request[1] - 3]) + request[2:-3]
    found = judged(authority.answer(shorter), authority.chain)
    assert found.state is State.REFUTED
    assert "does not hold the certificate" in found.reason


def test_a_certificate_that_may_not_stamp_is_refuted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    token = authority.answer(token_request(TEXT))
    sloppy = Authority(tmp_path / "other", root=authority.root)
    sloppy.signer = certify("web server", authority.root, may_stamp=False)
    assert judged(token, sloppy.chain).state is State.UNVERIFIED
    (sloppy.folder / "signer.pem").write_bytes(sloppy.signer.pem)
    with pytest.raises(subprocess.CalledProcessError):
        sloppy.answer(token_request(TEXT))


def test_no_flipped_bit_of_a_token_stays_anchored_but_in_a_name_that_nothing_uses(
    tmp_path: Path,
) -> None:
    """Seed 7, 1,000 bits.

    Nothing signs the name of the signature's algorithm in the CMS frame, and OpenSSL takes it from
    the key; a token with another name there says the same.
    """
    authority = Authority(tmp_path)
    token = authority.answer(token_request(TEXT))
    good = judged(token, authority.chain)
    named = token.rindex(bytes.fromhex("06082a8648ce3d0403"))  # ecdsa-with-SHA…
    unused = set(range(8 * (named + 2), 8 * (named + 10)))
    rng = random.Random(7)
    for bit in rng.sample(range(8 * len(token)), 1_000):
        changed = bytearray(token)
        changed[bit // 8] ^= 1 << bit % 8
        found = judged(bytes(changed), authority.chain)
        assert found == good if bit in unused else found.state is not State.ANCHORED, bit


@pytest.mark.parametrize("token", [b"0", b"0\x80", b"0\x03\x02\x01\x00", b"0" * 70_000])
def test_what_is_no_token_is_refuted(token: bytes) -> None:
    assert judged(token).state is State.REFUTED


def test_a_policy_needs_the_root_of_an_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    text = f"[[authority]]\ncertificates = '''{authority.signer.pem.decode()}'''"
    with pytest.raises(ScenarioError, match="no self-signed root"):
        parse_notary_policy(text.encode())


def test_published_tokens_have_their_published_verdicts() -> None:
    folder = vectors("rfc3161-client") / "test_tsa"
    found = x509.load_pem_x509_certificates((folder / "ts_chain.pem").read_bytes())
    chain = tuple(one.public_bytes(Encoding.DER) for one in found)
    states = {
        path.name: judged(path.read_bytes(), chain, text=b"hello").state
        for path in folder.glob("*.tsr")
    }
    assert states == {
        "response.tsr": State.ANCHORED,
        "response-injected-certs.tsr": State.REFUTED,
        "other_response.tsr": State.REFUTED,
    }
    real = (folder / "response.tsr").read_bytes()
    assert judged(real, chain, text=b"other").state is State.REFUTED
    assert judged(real, chain[2:], text=b"hello").state is State.UNVERIFIED
    assert judged(real, chain[1:], text=b"hello").state is State.ANCHORED


def test_a_response_that_is_not_granted_or_says_more_is_refuted(tmp_path: Path) -> None:
    """What a server says beside the token is not signed."""
    authority = Authority(tmp_path)
    token = authority.answer(token_request(TEXT))
    granted = bytes.fromhex("3003020100")
    assert token.count(granted) == 1
    for status in ("3003020102", "3003020101"):
        found = judged(token.replace(granted, bytes.fromhex(status)), authority.chain)
        assert found.state is State.REFUTED
        assert "must be granted" in found.reason
    worded = bytes.fromhex("300a02010030050c03796573")
    longer = token[4:].replace(granted, worded)
    found = judged(b"\x30\x82" + len(longer).to_bytes(2, "big") + longer, authority.chain)
    assert found.state is State.REFUTED
    assert "without words" in found.reason
