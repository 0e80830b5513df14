import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError
from qisguard.trail.merkle import CompactRange, leaf_hash, root
from qisguard.trail.tiles import (
    ENTRIES,
    Tile,
    Tower,
    changed_files,
    decode_bundle,
    decode_tile,
    encode_bundle,
    files_of,
    index_path,
    levels,
    parse_path,
    partial_files,
    tile_count,
    width_at,
)


def test_an_index_is_spelled_in_groups_of_three_digits() -> None:
    assert index_path(0) == "000"
    assert index_path(255) == "255"
    assert index_path(1000) == "x001/000"
    assert index_path(1234067) == "x001/x234/067"


def test_a_tree_of_70000_has_the_files_of_the_specification() -> None:
    """C2SP tlog-tiles, partial tiles."""
    files = list(files_of(70_000))
    widths = {level: [t.width for t in files if t.level == level] for level in levels(70_000)}
    assert widths[ENTRIES] == widths[0] == [256] * 273 + [112]
    assert widths[1] == [256, 17]
    assert widths[2] == [1]
    paths = {tile.path for tile in files}
    assert {"tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"} <= paths
    assert "tile/entries/273.p/112" in paths


def test_a_tree_of_256_has_a_full_tile_and_one_hash_above_it() -> None:
    assert [tile.path for tile in files_of(256)] == [
        "tile/entries/000",
        "tile/0/000",
        "tile/1/000.p/1",
    ]


def test_an_empty_tree_has_no_files() -> None:
    assert list(files_of(0)) == []
    assert partial_files(0) == []


@given(level=st.integers(-1, 63), index=st.integers(0, 1 << 55), width=st.integers(1, 256))
def test_a_path_parses_back_to_its_tile(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/00",
        "tile/0/x000/000",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "tile/0/x001",
        "tile/0/\u0660\u0660\u0660",
        "tile/-1/000",
        "tile/0/000\n",
        "tile/0/" + "x001/" * 40 + "000",
        "tile/entries/000.tmp",
        "packets/00/00",
    ],
)
def test_a_path_with_another_spelling_is_refused(path: str) -> None:
    with pytest.raises(DecodeError):
        parse_path(path)


@given(size=st.integers(1, 1 << 62))
def test_partial_files_are_those_of_the_files_that_are_not_full(size: int) -> None:
    for tile in partial_files(size):
        assert 0 < tile.width < 256
        assert tile.width == width_at(tile.level, tile.index, size)
        assert tile.index == tile_count(tile.level, size) - 1
        assert width_at(tile.level, tile.index + 1, size) == 0


@given(entries=st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_decodes_to_its_entries(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries), len(entries)) == entries


@given(entries=st.lists(st.binary(max_size=30), min_size=1, max_size=8), data=st.data())
def test_a_truncated_or_extended_bundle_is_refused(
    entries: list[bytes], data: st.DataObject
) -> None:
    bundle = encode_bundle(entries)
    cut = data.draw(st.integers(0, len(bundle) - 1))
    for wrong in (bundle[:cut], bundle + b"\0", bundle + b"\0\0"):
        with pytest.raises(DecodeError):
            decode_bundle(wrong, len(entries))


def test_a_tile_of_another_length_is_refused() -> None:
    assert decode_tile(bytes(64), 2) == [bytes(32)] * 2
    with pytest.raises(DecodeError, match="63 bytes, must be 64"):
        decode_tile(bytes(63), 2)


@given(size=st.integers(0, 1400))
@settings(max_examples=15, deadline=None)
def test_a_tower_makes_exactly_the_tiles_of_its_size(size: int) -> None:
    leaves = [leaf_hash(index.to_bytes(4, "big")) for index in range(size)]
    tower, full = Tower(), []
    for leaf in leaves:
        full += tower.append(leaf)
    made = dict(full + tower.partials())
    assert set(made) == {tile for tile in files_of(size) if tile.level != ENTRIES}
    assert all(len(row) == tile.width for tile, row in made.items())
    assert tower.root() == root(leaves)
    for tile, row in made.items():
        step = 256**tile.level
        start = tile.index * 256 * step
        assert row[-1] == root(leaves[start:][(tile.width - 1) * step : tile.width * step])


def test_a_tower_of_three_levels_keeps_its_root() -> None:
    tower = Tower()
    leaf = leaf_hash(b"")
    full = [tile for _ in range(65_536 + 257) for tile, _row in tower.append(leaf)]
    assert [tile.path for tile in full if tile.level > 0] == ["tile/1/000"]
    assert [tile.path for tile, _ in tower.partials()] == [
        "tile/0/257.p/1",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
    ]
    assert tower.root() == root([leaf] * (65_536 + 257))


@given(parts=st.lists(st.one_of(st.integers(0, 5), st.integers(250, 530)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_growth_in_rows_is_growth_one_by_one(parts: list[int]) -> None:
    simple, quick, made = Tower(), Tower(), CompactRange()
    for part in parts:
        leaves = [leaf_hash(b"%d" % (simple.size + n)) for n in range(part)]
        wanted = [full for leaf in leaves for full in simple.append(leaf)]
        assert quick.extend(leaves) == wanted
        made.extend(leaves)
        assert (quick.size, quick.levels) == (simple.size, simple.levels)
        assert made.root() == quick.root() == simple.root()
        assert made.peaks == quick.range().peaks


def test_a_compact_range_that_grows_in_chunks_carries_through_every_level() -> None:
    one_by_one, chunks = CompactRange(), CompactRange()
    leaves = [leaf_hash(b"%d" % n) for n in range(9 * 256 + 3)]
    for leaf in leaves:
        one_by_one.append(leaf)
    for start, stop in ((0, 1), (1, 256), (256, 1030), (1030, len(leaves))):
        chunks.extend(leaves[start:stop])
    assert (chunks.size, chunks.peaks) == (one_by_one.size, one_by_one.peaks)
    assert chunks.root() == root(leaves)


@given(old=st.integers(0, 70_000), new=st.integers(0, 1_000))
@settings(max_examples=60, deadline=None)
def test_changed_files_are_those_that_the_smaller_tree_has_not(old: int, new: int) -> None:
    assert set(changed_files(old, old + new)) == set(files_of(old + new)) - set(files_of(old))
