import random
from itertools import product
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.lab.statistics import bootstrap_interval, paired_difference, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Statistics in Medicine 17:857
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_matches_the_published_examples(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = wilson(successes, trials)
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)
    assert found.estimate == successes / trials


@pytest.mark.parametrize("trials", range(1, 60))
def test_a_proportion_lies_in_its_interval_and_the_interval_in_0_to_1(trials: int) -> None:
    for successes in range(trials + 1):
        found = wilson(successes, trials)
        assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_no_trials_say_nothing_and_impossible_counts_are_refused() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    for successes, trials in ((-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="must be 0 to"):
            wilson(successes, trials)


def pairs(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    counts = {(True, True): both, (True, False): first, (False, True): second}
    rows = [pair for pair, n in (*counts.items(), ((False, False), neither)) for _ in range(n)]
    return [a for a, _ in rows], [b for _, b in rows]


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:2635, method 10
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((20, 12, 2, 16), 0.0562, 0.3292),
        ((54, 0, 0, 0), -0.0664, 0.0664),
    ],
)
def test_paired_difference_matches_the_published_method(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = paired_difference(*pairs(*table))
    assert [found.low, found.high] == pytest.approx([low, high], abs=2e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_swapping_the_pair_mirrors_the_interval(rows: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in rows], [b for _, b in rows]
    here, there = paired_difference(first, second), paired_difference(second, first)
    assert here.low == pytest.approx(-there.high)
    assert here.low <= here.estimate <= here.high
    assert here.low + 1e-12 >= -1
    assert here.high <= 1 + 1e-12


def test_pairs_must_be_as_many_on_both_sides() -> None:
    for size in (1, 0):
        with pytest.raises(ValueError, match="must be equal"):
            paired_difference([True] * size, [])


def test_bootstrap_repeats_from_its_seed_and_covers_a_mean() -> None:
    hits = 0
    for seed in range(200):
        rng = random.Random(seed)
        values = [rng.gauss(10, 2) for _ in range(60)]
        found = bootstrap_interval(values, fmean, random.Random(seed), repeats=200)
        hits += found.low <= 10 <= found.high
        if seed == 0:
            again = bootstrap_interval(values, fmean, random.Random(seed), repeats=200)
            assert again == found
    assert 178 <= hits <= 199


def test_bootstrap_of_a_constant_has_no_width_and_of_nothing_is_refused() -> None:
    found = bootstrap_interval([3.0] * 5, median, random.Random(1), repeats=50)
    assert (found.estimate, found.low, found.high) == (3.0, 3.0, 3.0)
    for values, repeats in (([], 100), ([1.0], 10)):
        with pytest.raises(ValueError, match="must be >= 1 and >= 40"):
            bootstrap_interval(values, fmean, random.Random(1), repeats=repeats)


def test_intervals_shrink_with_more_trials() -> None:
    for share, level in product((0.1, 0.5), (0.9, 0.95)):
        widths = [
            found.high - found.low
            for found in (wilson(int(share * n), n, level) for n in (20, 200, 2000))
        ]
        assert widths == sorted(widths, reverse=True)
