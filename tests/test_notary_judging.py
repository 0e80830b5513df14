"""What a stamp is worth: five states, each with its reason, and nothing false passes."""

import random
from hashlib import sha1, sha256

import pytest

from qisguard.errors import DecodeError, ProofError, ScenarioError
from qisguard.notary import headers as headers_module
from qisguard.notary.headers import (
    HEADER_SIZE,
    PERIOD_SECONDS,
    Headers,
    Network,
    block_hash,
    open_headers,
)
from qisguard.notary.judgement import Judgement, State
from qisguard.notary.judging import judge
from qisguard.notary.policy import NotaryPolicy, parse_notary_policy
from qisguard.notary.stamps import (
    KECCAK256,
    SHA1,
    SHA256,
    Bitcoin,
    Operation,
    Pending,
    Stamp,
    Timestamp,
    Unknown,
    decode_stamp,
    encode_stamp,
    merge,
)
from tests.notaries import (
    EASY_BITS,
    FIRST_TIME,
    TEXT,
    anchored_at,
    known_header,
    mine,
    mined,
    policy_of,
    vectors,
)


def plain(*found: Pending | Bitcoin | Unknown) -> bytes:
    """Return a stamp of TEXT with these attestations and no operation."""
    return encode_stamp(Stamp(SHA256, sha256(TEXT).digest(), Timestamp(found)))


def test_no_stamp_is_none() -> None:
    assert judge(TEXT, None, None, NotaryPolicy()) == Judgement(State.NONE, "there is no stamp")


def test_a_promise_is_pending_however_many_there_are() -> None:
    found = judge(TEXT, plain(Pending("https://a"), Pending("https://b")), None, NotaryPolicy())
    assert found == Judgement(State.PENDING, "only a promise of the calendar https://a and 1 more")


def test_attestations_of_unknown_kind_prove_nothing() -> None:
    found = judge(TEXT, plain(Unknown(b"whatever", b"it says")), None, NotaryPolicy())
    assert found.state is State.NONE


def test_a_block_in_a_pinned_archive_is_anchored_with_its_time() -> None:
    stamp, root = anchored_at(101)
    chain = mined([bytes(32), root])
    found = judge(TEXT, encode_stamp(stamp), chain, policy_of(chain))
    assert (found.state, found.time, found.margin) == (State.ANCHORED, FIRST_TIME + 600, 7_200)
    assert "no later than 2023-11-14 22:23:20 UTC (block 101" in found.reason
    assert "known block 100" in found.reason


def test_without_archive_block_or_pin_an_anchor_is_unverified() -> None:
    stamp, root = anchored_at(101)
    chain = mined([bytes(32), root])
    data = encode_stamp(stamp)
    unpinned = Headers(chain.network, chain.start, chain.raw)
    short = Headers(chain.network, chain.start, chain.raw[:80], chain.start)
    for headers, reason in (
        (None, "there is no header archive"),
        (short, "holds 100 to 100"),
        (unpinned, "no block that the policy names"),
    ):
        found = judge(TEXT, data, headers, policy_of(chain))
        assert found.state is State.UNVERIFIED
        assert reason in found.reason
        assert found.time is None


def test_a_block_after_the_known_one_needs_confirmations() -> None:
    stamp, root = anchored_at(101)
    data = encode_stamp(stamp)
    chain = mined([bytes(32), root, *[bytes(32)] * 4])
    assert judge(TEXT, data, chain, policy_of(chain, 5)).state is State.ANCHORED
    found = judge(TEXT, data, chain, policy_of(chain, 6))
    assert found.state is State.UNVERIFIED
    assert "5 confirmations, the policy wants 6" in found.reason
    stamp, root = anchored_at(100)
    alone = mined([root])
    assert judge(TEXT, encode_stamp(stamp), alone, policy_of(alone, 6)).state is State.ANCHORED


def test_a_target_that_the_archive_cannot_compute_confirms_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Periods of four blocks, of exactly their time; block 4 has its target by blocks 0 to 3."""
    monkeypatch.setattr(headers_module, "PERIOD", 4)
    monkeypatch.setattr(headers_module, "EASIEST_BITS", {Network.MAINNET: EASY_BITS})
    stamp, root = anchored_at(5)
    data = encode_stamp(stamp)
    raw, previous, known = b"", bytes(32), {}
    for height in range(7):
        time = PERIOD_SECONDS * height // 3
        raw += mine(previous, root if height == 5 else bytes(32), time)
        previous = block_hash(raw[-HEADER_SIZE:])
        known[height] = previous
    for pin, start, confirmations, state in (
        (2, 0, 2, State.ANCHORED),
        (2, 1, 2, State.UNVERIFIED),
        (3, 3, 2, State.UNVERIFIED),
        (4, 4, 2, State.ANCHORED),
        (5, 5, 2, State.ANCHORED),
        (6, 3, 6, State.ANCHORED),
    ):
        policy = NotaryPolicy(Network.MAINNET, {pin: known[pin]}, confirmations)
        chain = Headers(Network.MAINNET, start, b"").extend(raw[80 * start :], policy.blocks)
        found = judge(TEXT, data, chain, policy)
        assert found.state is state, (pin, start)
    assert (
        "must start at 0"
        in judge(
            TEXT,
            data,
            Headers(Network.MAINNET, 3, raw[240:], 3),
            NotaryPolicy(confirmations=2),
        ).reason
    )


def test_another_text_is_refuted() -> None:
    stamp, root = anchored_at(100)
    chain = mined([root])
    for text in (TEXT + b"\n", TEXT[:-1], b""):
        found = judge(text, encode_stamp(stamp), chain, policy_of(chain))
        assert found.state is State.REFUTED
        assert "of another text" in found.reason


def test_another_merkle_root_is_refuted_even_where_no_block_is_known() -> None:
    stamp, _ = anchored_at(100)
    chain = mined([bytes(32)])
    unpinned = Headers(chain.network, chain.start, chain.raw)
    for headers in (chain, unpinned):
        found = judge(TEXT, encode_stamp(stamp), headers, policy_of(chain))
        assert found.state is State.REFUTED
        assert "the stamp leads to" in found.reason


def test_one_false_statement_condemns_a_stamp_that_is_else_good() -> None:
    good, root = anchored_at(100)
    chain = mined([root, bytes(32)])
    both = merge(good.timestamp, Timestamp((Bitcoin(101), Pending("https://a"))))
    found = judge(TEXT, encode_stamp(Stamp(SHA256, good.digest, both)), chain, policy_of(chain))
    assert found.state is State.REFUTED


def test_the_earliest_of_several_good_blocks_counts() -> None:
    first, root = anchored_at(101)
    late = Timestamp((Bitcoin(102),))
    chain = mined([bytes(32), root, first.digest])
    both = Stamp(SHA256, first.digest, merge(late, first.timestamp))
    found = judge(TEXT, encode_stamp(both), chain, policy_of(chain))
    assert (found.state, found.time) == (State.ANCHORED, FIRST_TIME + 600)


def test_a_root_that_is_no_hash_and_a_hash_that_is_not_followed_prove_nothing() -> None:
    digest = sha256(TEXT).digest()
    chain = mined([bytes(32)])
    block = Timestamp((Bitcoin(100),))
    longer = Stamp(SHA256, digest, Timestamp((), ((Operation(0xF3), block),)))
    keccak = Stamp(SHA256, digest, Timestamp((), ((Operation(KECCAK256), block),)))
    for headers in (chain, None):
        found = judge(TEXT, encode_stamp(longer), headers, policy_of(chain))
        assert found.state is State.REFUTED
        assert "64 bytes are said to be its Merkle root" in found.reason
    assert judge(TEXT, encode_stamp(keccak), chain, policy_of(chain)).state is State.UNVERIFIED


def test_a_stamp_by_another_hash_than_sha256_is_never_more_than_unverified() -> None:
    weak = sha1(TEXT, usedforsecurity=False).digest()
    root = sha256(weak).digest()
    timestamp = Timestamp((), ((Operation(SHA256), Timestamp((Bitcoin(100),))),))
    chain = mined([root])
    found = judge(TEXT, encode_stamp(Stamp(SHA1, weak, timestamp)), chain, policy_of(chain))
    assert found.state is State.UNVERIFIED
    other = judge(b"x", encode_stamp(Stamp(SHA1, weak, timestamp)), chain, policy_of(chain))
    assert other.state is State.REFUTED


def test_a_malformed_stamp_is_refuted_with_the_reason() -> None:
    deep = encode_stamp(Stamp(SHA256, bytes(32), Timestamp((Bitcoin(1),))))
    deep = deep[:65] + b"\x08" * 300 + deep[65:]
    assert "more than 256 levels" in judge(TEXT, deep, None, NotaryPolicy()).reason
    for data in (b"", b"\0", deep, bytes(1 << 20)):
        assert judge(TEXT, data, None, NotaryPolicy()).state is State.REFUTED


def test_no_mutation_of_a_good_stamp_stays_anchored() -> None:
    """Seed 1: every bit of the stamp, and 1,500 deletions and insertions."""
    stamp, root = anchored_at(101)
    data = encode_stamp(stamp)
    chain = mined([bytes(32), root, bytes(32)])
    policy = policy_of(chain)
    assert judge(TEXT, data, chain, policy).state is State.ANCHORED
    rng = random.Random(1)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert judge(TEXT, bytes(changed), chain, policy).state is not State.ANCHORED, bit
    for _ in range(1_500):
        changed = bytearray(data)
        at = rng.randrange(len(data))
        if rng.random() < 0.5:
            del changed[at : at + rng.randrange(1, 4)]
        else:
            changed[at:at] = rng.randbytes(rng.randrange(1, 4))
        if bytes(changed) != data:
            assert judge(TEXT, bytes(changed), chain, policy).state is not State.ANCHORED


def test_the_published_examples_have_the_states_that_their_authors_give_them() -> None:
    folder = vectors("opentimestamps-client")
    known = known_header(358_391)
    policy = NotaryPolicy(blocks={358_391: bytes.fromhex(known["hash"])[::-1]})
    raw = bytes.fromhex(known["header"])
    chain = Headers(Network.MAINNET, 358_391, b"").extend(raw, policy.blocks)
    found = {
        path.name: judge(path.with_suffix("").read_bytes(), path.read_bytes(), chain, policy)
        for path in folder.glob("*.ots")
        if path.with_suffix("").exists()
    }
    assert found.pop("hello-world.txt.ots").time == known["time"]
    assert found.pop("bad-stamp.txt.ots").state is State.REFUTED
    assert len(found) >= 4
    incomplete = {State.NONE, State.PENDING, State.UNVERIFIED}
    assert {judgement.state for judgement in found.values()} <= incomplete


POLICY = """
network = "regtest"
confirmations = 2
[[block]]
height = 7
hash = "{hash}"
"""


def test_a_policy_names_blocks_as_explorers_print_them() -> None:
    shown = bytes(range(32)).hex()
    policy = parse_notary_policy(POLICY.format(hash=shown).encode())
    assert policy == NotaryPolicy(Network.REGTEST, {7: bytes(range(32))[::-1]}, 2)
    assert parse_notary_policy(b"") == NotaryPolicy()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('network = "testnet"', "must be one of mainnet, regtest"),
        ('netwerk = "mainnet"', "unknown key 'netwerk'; did you mean 'network'"),
        ("confirmations = 0", "at least 1"),
        ("confirmations = true", "must be int"),
        ("[block]\nheight = 1", "write every block as"),
        ("[[block]]\nheight = 1", "hash is missing"),
        ("[[block]]\nheight = -1\nhash = 'aa'", "must be 0 to"),
        ("[[block]]\nheight = 1\nhash = 'aa'", "must be 64 hex digits"),
        ("[[block]]\nheight = 1\nhash = 'aa'\nhush = 1", "unknown key 'hush'"),
        ("[[authority]]\ncertificates = 'none'", "are not PEM"),
        ("=", "notary policy: "),
        ("\xff", "notary policy: "),
        (
            POLICY.format(hash="00" * 32) + POLICY[POLICY.index("[[") :].format(hash="00" * 32),
            "twice",
        ),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ScenarioError, match=reason):
        parse_notary_policy(text.encode("latin-1"))


def test_a_forged_archive_never_reaches_the_judge() -> None:
    stamp, root = anchored_at(101)
    chain = mined([bytes(32), root])
    forged = chain.raw[:80] + bytes(80)
    with pytest.raises((ProofError, DecodeError)):
        open_headers(Headers(Network.REGTEST, 100, forged).encode(), Network.REGTEST, {})
    assert decode_stamp(encode_stamp(stamp)) == stamp
