"""The header archive: work, links and targets are checked, and a known block ties it down."""

import random
import struct

import pytest

from qisguard.errors import DecodeError, ProofError
from qisguard.notary.headers import (
    EASIEST_BITS,
    HEADER_SIZE,
    PERIOD,
    PERIOD_SECONDS,
    PREFIX_SIZE,
    Headers,
    Network,
    bits_of,
    block_hash,
    may_follow,
    next_bits,
    open_headers,
    read_header,
    target_of,
)
from tests.notaries import FIRST_TIME, known_header, mine, mined

MAINNET_EASIEST = EASIEST_BITS[Network.MAINNET]


def test_a_chain_is_read_back_with_its_heights_and_times() -> None:
    chain = mined([bytes([n]) * 32 for n in range(5)])
    again = open_headers(chain.encode(), Network.REGTEST, {102: chain.header(102).hash})  # type: ignore[union-attr]
    assert (again.start, again.tip, len(again), again.pinned) == (100, 104, 5, 102)
    third = again.header(102)
    assert third is not None
    assert (third.root, third.time) == (b"\x02" * 32, FIRST_TIME + 1_200)
    assert again.header(99) is None
    assert again.header(105) is None
    assert open_headers(chain.encode(), Network.REGTEST, {}).pinned is None
    assert open_headers(chain.encode(), Network.REGTEST, {99: bytes(32)}).pinned is None


def test_no_single_flipped_bit_of_a_pinned_archive_is_taken() -> None:
    """All bits of the prefix, and 400 of the headers (seed 5): the pin is the last block."""
    chain = mined([bytes([n]) * 32 for n in range(4)])
    last = chain.header(103)
    assert last is not None
    data = chain.encode()
    rng = random.Random(5)
    bits = [*range(8 * PREFIX_SIZE), *rng.sample(range(8 * PREFIX_SIZE, 8 * len(data)), 400)]
    for bit in bits:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = open_headers(bytes(changed), Network.REGTEST, {103: last.hash})
        except (DecodeError, ProofError):
            continue
        assert found.pinned is None, bit  # another start height: then no known block is in it


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "79 bytes after"),
        (lambda data: data[:15], "15 bytes, at least 16"),
        (lambda data: b"OTSI" + data[4:], "does not start with OTSH"),
        (lambda data: data[:4] + b"\x02" + data[5:], "version 2.0"),
        (lambda data: data[:7] + b"\x01" + data[8:], "reserved"),
        (lambda data: data[:12] + b"\x01" + data[13:], "reserved"),
        (lambda data: data[:8] + b"\xff" * 4 + data[12:], "beyond 32 bits"),
    ],
)
def test_another_format_is_refused(change: "object", reason: str) -> None:
    assert callable(change)
    with pytest.raises(DecodeError, match=reason):
        open_headers(change(mined([bytes(32)] * 2).encode()), Network.REGTEST, {})


def test_a_header_without_work_is_refused() -> None:
    chain = mined([bytes(32)] * 2)
    nonce = 0
    while True:  # the next header that has no work
        header = struct.pack(
            "<i32s32sIII", 4, block_hash(chain.raw[80:]), bytes(32), 0, 0x207FFFFF, nonce
        )
        if block_hash(header)[31] >= 0x80:
            break
        nonce += 1
    with pytest.raises(ProofError, match=r"block 102: hash .* has too little work"):
        chain.extend(header, {})


def test_a_header_that_does_not_follow_is_refused() -> None:
    chain = mined([bytes(32)] * 3)
    with pytest.raises(ProofError, match="block 103: does not follow block 102"):
        chain.extend(mine(b"\x01" * 32, bytes(32), 0), {})
    swapped = chain.raw[:80] + chain.raw[160:] + chain.raw[80:160]
    with pytest.raises(ProofError, match="does not follow"):
        Headers(Network.REGTEST, 100, b"").extend(swapped, {})


def test_another_block_than_the_one_the_policy_names_is_refused() -> None:
    chain = mined([bytes(32)] * 2)
    with pytest.raises(ProofError, match=r"block 101: is [0-9a-f]{64}, the policy names 0202"):
        open_headers(chain.encode(), Network.REGTEST, {101: b"\x02" * 32})


def test_a_regtest_archive_is_refused_where_the_policy_wants_bitcoin() -> None:
    chain = mined([bytes(32)])
    with pytest.raises(ProofError, match="of network 2, the policy wants 0"):
        open_headers(chain.encode(), Network.MAINNET, {})
    renamed = Headers(Network.MAINNET, 100, chain.raw).encode()
    with pytest.raises(ProofError, match="easier than any of its network"):
        open_headers(renamed, Network.MAINNET, {})


def test_a_target_that_the_rules_do_not_give_is_refused() -> None:
    chain = mined([bytes(32)] * 2)
    last = chain.header(101)
    assert last is not None
    harder = mine(last.hash, bytes(32), 0, bits=0x203FFFFF)
    for time in range(100):
        harder = mine(last.hash, bytes(32), time, bits=0x203FFFFF)
        if block_hash(harder)[31] < 0x3F:
            break
    with pytest.raises(ProofError, match="bits 0x203fffff, must be 0x207fffff"):
        chain.extend(harder, {})


@pytest.mark.parametrize(
    ("bits", "first", "last", "wanted"),
    [
        (0x1D00FFFF, 1_261_130_161, 1_262_152_739, 0x1D00D86A),
        (0x1D00FFFF, 1_231_006_505, 1_233_061_996, 0x1D00FFFF),
        (0x1C05A3F4, 1_279_008_237, 1_279_297_671, 0x1C0168FD),
        (0x1C387F6F, 1_263_163_443, 1_269_211_443, 0x1D00E1FD),
    ],
    ids=["block 32256", "the easiest", "four times harder", "four times easier"],
)
def test_the_target_changes_as_it_did_in_bitcoin(
    bits: int, first: int, last: int, wanted: int
) -> None:
    """Times of real blocks, as in Bitcoin Core's own tests of its proof of work."""
    assert next_bits(bits, first, last, MAINNET_EASIEST) == wanted


def test_short_and_long_forms_of_a_target_agree() -> None:
    rng = random.Random(9)
    for _ in range(500):
        target = rng.getrandbits(rng.randrange(9, 257)) | 1 << 8
        short = bits_of(target)
        assert target - (target >> 15) <= target_of(short) <= target
        assert bits_of(target_of(short)) == short
    for bad in (0, 0x01003456, 0x04923456, 0x1D800000, 0x23000001, 0xFF123456):
        with pytest.raises(ProofError, match="are no target"):
            target_of(bad)


def test_real_headers_have_their_published_hash_and_time() -> None:
    known = known_header(358_391)
    raw = bytes.fromhex(known["header"])
    pin = bytes.fromhex(known["hash"])[::-1]
    chain = Headers(Network.MAINNET, 358_391, b"").extend(raw, {358_391: pin})
    header = chain.header(358_391)
    assert header == read_header(raw)
    assert header is not None
    assert (header.time, header.root[::-1].hex()) == (known["time"], known["merkle_root"])
    assert chain.pinned == 358_391
    with pytest.raises(ProofError, match="does not follow"):
        chain.extend(bytes.fromhex(known_header(586)["header"]), {})


LAST_OF_A_PERIOD = bytes.fromhex(
    "0040642e90437de99a620f56604f8ea245ea0bf6544468e9171602000000000000000000b70e850e"
    "3435f55c44c6e7a2ebbdf49a125281a703f616d04c68260baee54cec82a09865b3e8031737acde62"
)
"""Block 824543 of Bitcoin; the next one is the first of a period and has another target."""
FIRST_OF_A_PERIOD = bytes.fromhex(
    "00e0542fc94eab887e6c0d7dcc8c77ac897d99f8989798165b59010000000000000000001aa535e9"
    "a4bf7dcc317f1465c67ab9d732a4115d043268897fc2b1b9544cb6dfbca1986569d8031701c64ac1"
)


def test_the_target_changes_where_a_period_starts_and_nowhere_else() -> None:
    """Real blocks; the start of the period before is not in the archive."""
    both = LAST_OF_A_PERIOD + FIRST_OF_A_PERIOD
    first, second = read_header(both[:HEADER_SIZE]), read_header(both[HEADER_SIZE:])
    assert (first.bits, second.bits) == (0x1703E8B3, 0x1703D869)
    assert 824_544 % PERIOD == 0
    assert Headers(Network.MAINNET, 824_543, b"").extend(both, {}).tip == 824_544
    for start in (824_542, 824_544):
        with pytest.raises(ProofError, match="bits 0x1703d869, must be 0x1703e8b3"):
            Headers(Network.MAINNET, start, b"").extend(both, {})


def test_a_target_changes_by_at_most_four_times() -> None:
    old = target_of(0x1703E8B3)
    for possible in (old, old * 4, old // 4):
        assert may_follow(0x1703E8B3, bits_of(possible))
    for impossible in (old * 4 + (old >> 10), old // 4 - (old >> 10), old * 5, old // 5):
        assert not may_follow(0x1703E8B3, bits_of(impossible))


def test_a_period_that_is_whole_gives_the_target_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rule of Bitcoin, easy to mine: periods of four blocks, three times too fast."""
    from qisguard.notary import headers

    easiest = {Network.MAINNET: 0x207FFFFF, Network.REGTEST: 0x207FFFFF}
    monkeypatch.setattr(headers, "EASIEST_BITS", easiest)
    monkeypatch.setattr(headers, "PERIOD", 4)
    raw, previous = b"", bytes(32)
    for height in range(4):
        header = mine(previous, bytes(32), (PERIOD_SECONDS // 3) * height // 3)
        raw, previous = raw + header, block_hash(header)
    chain = Headers(Network.MAINNET, 0, b"").extend(raw, {})
    wanted = next_bits(0x207FFFFF, 0, PERIOD_SECONDS // 3, 0x207FFFFF)
    assert target_of(wanted) < target_of(0x207FFFFF) * 2 // 5
    for bits in (0x207FFFFF, wanted):
        for time in range(1_000):
            header = mine(previous, bytes(32), time, bits)
            if int.from_bytes(block_hash(header), "little") <= target_of(bits):
                break
        if bits == wanted:
            assert chain.extend(header, {}).tip == 4
        else:
            with pytest.raises(ProofError, match=f"block 4: bits 0x207fffff, must be {wanted:#x}"):
                chain.extend(header, {})
