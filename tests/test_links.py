"""What happens to a datagram: every knob does what it says, alone and for ever the same way."""

import itertools
import random
import tomllib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from qisguard.errors import ScenarioError
from qisguard.lab.links import (
    COPY_DELAY_MAX,
    FLIPS_MAX,
    JITTER,
    TAIL_MAX,
    Cut,
    Direction,
    Latency,
    Links,
    Traffic,
    flip,
    read_links,
)

TRIES = 6_000
DATA = bytes(range(100))
ALL = Links(
    loss_ratio=0.3,
    duplicate_ratio=0.05,
    reorder_ratio=0.25,
    reorder_delay=0.5,
    corrupt_ratio=0.01,
    truncate_ratio=0.02,
)
FATES = {
    "loss_ratio": "lost",
    "duplicate_ratio": "duplicated",
    "reorder_ratio": "reordered",
    "corrupt_ratio": "corrupted",
    "truncate_ratio": "truncated",
}


def send(links: Links, seed: int = 1, count: int = TRIES) -> list[list[tuple[float, bytes]]]:
    """Return the fates of ``count`` datagrams from node 0 to node 1, all sent at 0."""
    traffic = Traffic(seed, links)
    return [traffic.fate(DATA, 0, 1, 0.0) for _ in range(count)]


def is_likely(hits: int, tries: int, ratio: float) -> bool:
    """Return whether a count lies in the middle 1 - 1e-6 of its binomial distribution."""
    low, high = binom.interval(1 - 1e-6, tries, ratio)
    return bool(low <= hits <= high)


def differing_bits(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


# --- each knob ----------------------------------------------------------------------------------
@pytest.mark.parametrize("knob", list(FATES))
@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.8])
def test_each_ratio_is_the_share_of_datagrams_that_it_says(knob: str, ratio: float) -> None:
    traffic = Traffic(3, Links(**{knob: ratio}))  # type: ignore[arg-type] # ratios are floats
    for _ in range(TRIES):
        traffic.fate(DATA, 0, 1, 0.0)
    assert set(traffic.counts) <= {FATES[knob]}
    assert is_likely(traffic.counts[FATES[knob]], TRIES, ratio)


@pytest.mark.parametrize("knob", list(FATES))
def test_each_ratio_does_to_datagrams_what_its_name_says(knob: str) -> None:
    fates = send(Links(**{knob: 0.25}, latency=(0.1, 0.1)))  # type: ignore[arg-type]
    touched: dict[str, Callable[[list[tuple[float, bytes]]], bool]] = {
        "loss_ratio": lambda fate: fate == [],
        "duplicate_ratio": lambda fate: len(fate) == 2,
        "reorder_ratio": lambda fate: fate[0][0] > 0.1,
        "corrupt_ratio": lambda fate: fate[0][1] != DATA and len(fate[0][1]) == len(DATA),
        "truncate_ratio": lambda fate: len(fate[0][1]) < len(DATA),
    }
    hits = sum(touched[knob](fate) for fate in fates)
    assert is_likely(hits, TRIES, 0.25)
    assert sum(fate == [(0.1, DATA)] for fate in fates) == TRIES - hits


def test_the_rest_of_the_network_is_the_same_when_one_knob_is_zero() -> None:
    together = Traffic(5, ALL)
    before = [_happened(together) for _ in range(4_000)]
    for knob, name in FATES.items():
        others = Traffic(5, replace(ALL, **{knob: 0.0}))  # type: ignore[arg-type]
        after = [_happened(others) for _ in range(4_000)]
        if knob == "loss_ratio":  # what would have been lost is now seen to be late or damaged
            kept = [(a, b) for a, b in zip(before, after, strict=True) if a != {"lost"}]
            assert all(a == b for a, b in kept)
        else:
            assert [a - {name} for a in before] == after


def _happened(traffic: Traffic) -> set[str]:
    before = dict(traffic.counts)
    traffic.fate(DATA, 0, 1, 0.0)
    return {name for name, count in traffic.counts.items() if count != before.get(name, 0)}


def test_loss_does_not_move_the_delays_of_what_arrives() -> None:
    calm, lossy = send(Links(), 7, 2_000), send(Links(loss_ratio=0.4), 7, 2_000)
    assert all(fate == calm[n] for n, fate in enumerate(lossy) if fate)


def test_a_lost_datagram_has_no_copy_and_a_copy_has_the_damage_of_its_original() -> None:
    fates = send(replace(ALL, corrupt_ratio=0.5, duplicate_ratio=0.5))
    assert {len(fate) for fate in fates} == {0, 1, 2}
    copies = [fate for fate in fates if len(fate) == 2]
    assert all(one[1] == two[1] and one[0] <= two[0] for one, two in copies)
    assert all(two[0] - one[0] <= COPY_DELAY_MAX for one, two in copies)
    assert any(one[1] != DATA for one, _ in copies)


def test_reordering_brings_later_datagrams_first() -> None:
    traffic = Traffic(2, Links(latency=(0.01, 0.01), reorder_ratio=0.25, reorder_delay=0.2))
    times = [traffic.fate(DATA, 0, 1, n / 100)[0][0] for n in range(2_000)]
    overtaken = sum(one > other for one, other in itertools.pairwise(times))
    assert overtaken > 200
    assert max(time - n / 100 for n, time in enumerate(times)) <= 0.01 + 0.2


@given(data=st.binary(max_size=60), seed=st.integers(0, 999))
def test_damage_flips_between_one_bit_and_eight(data: bytes, seed: int) -> None:
    damaged = flip(data, random.Random(seed))
    assert len(damaged) == len(data)
    assert differing_bits(data, damaged) in range(1 if data else 0, FLIPS_MAX + 1)


# --- delays -------------------------------------------------------------------------------------
def test_uniform_delays_are_spread_evenly_between_their_ends() -> None:
    delays = [fate[0][0] for fate in send(Links(latency=(0.02, 0.12)))]
    assert 0.02 <= min(delays) <= max(delays) <= 0.12
    for part in range(10):
        low = 0.02 + part * 0.01
        assert is_likely(sum(low <= delay < low + 0.01 for delay in delays), TRIES, 0.1)


def test_lognormal_delays_have_their_percentiles_where_latency_says_and_an_end() -> None:
    links = Links(latency=(0.01, 0.2), latency_model=Latency.LOGNORMAL)
    delays = [fate[0][0] for fate in send(links)]
    assert is_likely(sum(delay < 0.01 for delay in delays), TRIES, 0.05)
    assert is_likely(sum(delay > 0.2 for delay in delays), TRIES, 0.05)
    assert is_likely(sum(delay < (0.01 * 0.2) ** 0.5 for delay in delays), TRIES, 0.5)
    assert min(delays) > 0
    assert max(delays) <= TAIL_MAX * 0.2


def test_on_the_plane_a_pair_keeps_its_delay_both_ways_and_pairs_differ() -> None:
    traffic = Traffic(4, Links(latency=(0.01, 0.2), latency_model=Latency.PLANE))
    typical = {(a, b): traffic.delay(a, b) for a in range(20) for b in range(20) if a != b}
    assert all(typical[a, b] == typical[b, a] for a, b in typical)
    assert all(0.01 <= delay <= 0.2 for delay in typical.values())
    assert max(typical.values()) > 4 * min(typical.values())
    for (a, b), delay in typical.items():
        ((arrival, _),) = traffic.fate(DATA, a, b, 5.0)
        assert abs(arrival - 5.0 - delay) <= JITTER * delay + 1e-9


def test_on_the_plane_a_detour_is_longer_but_for_the_jitter() -> None:
    traffic = Traffic(4, Links(latency=(0.01, 0.2), latency_model=Latency.PLANE))
    triples = list(itertools.permutations(range(12), 3))
    direct = sum(
        traffic.delay(a, c) <= traffic.delay(a, b) + traffic.delay(b, c) for a, b, c in triples
    )
    assert direct == len(triples)

    def drawn(a: int, b: int) -> float:
        return traffic.fate(DATA, a, b, 0.0)[0][0]

    kept = sum(drawn(a, c) <= drawn(a, b) + drawn(b, c) for a, b, c in triples)
    assert 0.95 * len(triples) < kept < len(triples)


def test_places_follow_from_the_seed_and_not_from_who_speaks_first() -> None:
    links = Links(latency_model=Latency.PLANE)
    one, other = Traffic(9, links), Traffic(9, links)
    forth = [one.delay(0, n) for n in range(1, 30)]
    back = [other.delay(0, n) for n in range(29, 0, -1)][::-1]
    assert forth == back
    assert forth != [Traffic(10, links).delay(0, n) for n in range(1, 30)]


# --- cuts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("ratio", "count"), [(0.5, 50), (0.1, 10), (0.25, 25), (0.99, 99)])
def test_a_cut_holds_its_share_of_the_nodes_exactly(ratio: float, count: int) -> None:
    cut = Cut(1.0, 2.0, ratio)
    assert sum(cut.holds(number) for number in range(100)) == count


@pytest.mark.parametrize(
    ("direction", "out", "back"),
    [(Direction.BOTH, True, True), (Direction.OUT, True, False), (Direction.IN, False, True)],
)
def test_a_cut_stops_its_directions_from_start_until_end_and_nothing_on_one_side(
    direction: Direction, out: bool, back: bool
) -> None:
    cut = Cut(10.0, 20.0, direction=direction, members=frozenset({0, 1}))
    for now in (10.0, 15.0, 19.999):
        assert cut.stops(0, 5, now) is out
        assert cut.stops(5, 0, now) is back
        assert not cut.stops(0, 1, now)
        assert not cut.stops(5, 6, now)
    for now in (0.0, 9.999, 20.0, 1e9):
        assert not cut.stops(0, 5, now)
        assert not cut.stops(5, 0, now)


def test_a_cut_is_counted_and_leaves_the_other_draws_alone() -> None:
    calm = Traffic(3, ALL)
    cut = Traffic(3, replace(ALL, cuts=(Cut(0.0, 1.0, members=frozenset({0})),)))
    calm.fate(DATA, 0, 1, 0.5), cut.fate(DATA, 0, 1, 0.5)
    for _ in range(200):
        assert cut.fate(DATA, 0, 1, 0.5) == []
        calm.fate(DATA, 0, 1, 0.5)
    assert cut.counts["cut"] > 100
    assert [cut.fate(DATA, 0, 1, 2.0) for _ in range(200)] == [
        calm.fate(DATA, 0, 1, 2.0) for _ in range(200)
    ]


# --- the table of a scenario --------------------------------------------------------------------
def test_a_full_table_is_read() -> None:
    links = read_links(
        tomllib.loads(
            """
            latency = [0.01, 1]
            latency_model = "plane"
            loss_ratio = 0.3
            duplicate_ratio = 0.05
            reorder_ratio = 0.25
            reorder_delay = 0.4
            corrupt_ratio = 0.01
            truncate_ratio = 0.002
            cuts = [
              { start = 30, end = 90 },
              { start = 120.0, end = inf, ratio = 0.1, direction = "out" },
            ]
            """
        ),
        "network.links",
    )
    assert links == Links(
        latency=(0.01, 1.0),
        latency_model=Latency.PLANE,
        loss_ratio=0.3,
        duplicate_ratio=0.05,
        reorder_ratio=0.25,
        reorder_delay=0.4,
        corrupt_ratio=0.01,
        truncate_ratio=0.002,
        cuts=(Cut(30.0, 90.0), Cut(120.0, float("inf"), 0.1, Direction.OUT)),
    )


def test_an_empty_table_is_the_calm_network() -> None:
    assert read_links({}, "network.links") == Links()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss_rate = 0.1", r"links: unknown key 'loss_rate'; did you mean 'loss_ratio'\?"),
        ("latency = 3", r"links.latency = 3, must be \[low, high\] seconds"),
        ("latency = [0.2, 0.1]", r"links.latency = \[0.2, 0.1\], must be \[low, high\] seconds"),
        ("latency_model = 'grid'", "links.latency_model = 'grid', must be one of uniform, lognor"),
        ("latency_model = 1", "links.latency_model = 1, must be one of uniform, lognormal, plane"),
        ("duplicate_ratio = 1", "links.duplicate_ratio = 1.0, must be 0 to below 1"),
        ("duplicate_ratio = true", "links.duplicate_ratio = True, must be 0 to below 1"),
        ("corrupt_ratio = nan", "links.corrupt_ratio = nan, must be 0 to below 1"),
        ("truncate_ratio = -0.1", "links.truncate_ratio = -0.1, must be 0 to below 1"),
        ("reorder_ratio = '1'", "links.reorder_ratio = '1', must be 0 to below 1"),
        ("reorder_delay = 11", "links.reorder_delay = 11.0, must be 0 to 10 seconds"),
        ("reorder_delay = []", r"links.reorder_delay = \[\], must be 0 to 10 seconds"),
        (f"loss_ratio = 1{'0' * 400}", "links.loss_ratio = 1.*, must be 0 to below 1"),
        ("cuts = 3", "links.cuts = 3, must be a list of tables"),
        ("cuts = [3]", r"links.cuts\[0\] = 3, must be a table with start and end, seconds"),
        ("cuts = [{ start = 1 }]", r"links.cuts\[0\] = {'start': 1}, must be a table with start"),
        (
            "cuts = [{ start = 5, end = 5 }]",
            r"links.cuts\[0\].start = 5.0, end = 5.0, must be seconds, 0 <= start < end",
        ),
        (
            "cuts = [{ start = 1, end = 5 }, { start = 1, end = 5, ratio = 1.0 }]",
            r"links.cuts\[1\].ratio = 1.0, must be above 0 and below 1",
        ),
        (
            "cuts = [{ start = 1, end = 5, direction = 'up' }]",
            r"links.cuts\[0\].direction = 'up', must be one of both, out, in",
        ),
        (
            "cuts = [{ start = 1, end = 5, members = [1] }]",
            r"links.cuts\[0\]: unknown key 'members'; allowed: direction, end, ratio, start",
        ),
        ("cuts = [{ start = 'a', end = 5 }]", r"links.cuts\[0\].start = 'a', must be seconds"),
    ],
)
def test_errors_name_key_value_and_range(text: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=f"^network.{message}"):
        read_links(tomllib.loads(text), "network.links")


def test_the_number_of_cuts_is_bounded() -> None:
    cuts = [{"start": n, "end": n + 1} for n in range(101)]
    with pytest.raises(ScenarioError, match="cuts: 101, must be at most 100"):
        read_links({"cuts": cuts}, "network.links")
