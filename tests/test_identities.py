"""Identities on disk: whole or absent, never overwritten, not loaded when others can reach them."""

import os
import re
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from qisguard.errors import IdentityError
from qisguard.identity.keys import KeyPair, to_text
from qisguard.identity.network import Network
from qisguard.identity.puzzle import PuzzleForm, static_bits
from qisguard.service.identities import (
    KEY_FILES,
    SOLUTION_FILE,
    create,
    create_key,
    load,
    load_key,
    read,
    renew_solution,
)
from tests.builders import make_network

NETWORK = make_network(c1=2, c2=4)
NEXT = replace(NETWORK, epoch=b"e" * 32, c2=12)
ALL = (*KEY_FILES, SOLUTION_FILE)

Spoil = Callable[[Path], object]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "id", NETWORK)
    return tmp_path / "id"


# --- making --------------------------------------------------------------------------------------
@pytest.mark.rule("ID-20")
def test_an_identity_is_a_folder_of_four_seeds_and_a_solution(tmp_path: Path) -> None:
    made = create(tmp_path / "id", NETWORK)
    pairs = (made.key, made.tls, made.log, made.witness)
    wanted = {
        name: to_text(pair.secret[:32]).encode() + b"\n"
        for name, pair in zip(KEY_FILES, pairs, strict=True)
    }
    wanted[SOLUTION_FILE] = to_text(made.solution).encode() + b"\n"
    assert _files(tmp_path / "id") == wanted
    assert {len(data) for name, data in wanted.items() if name != SOLUTION_FILE} == {44}
    assert len(wanted[SOLUTION_FILE]) == 23
    assert load(tmp_path / "id", NETWORK) == made
    NETWORK.check_puzzles(made.id, made.solution)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        create(tmp_path / "id", NETWORK)
        create_key(tmp_path / "author.key")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "id") == 0o700
    assert {_mode(tmp_path / "id" / name) for name in ALL} == {0o600}
    assert _mode(tmp_path / "author.key") == 0o600


def test_no_two_identities_are_alike(tmp_path: Path) -> None:
    first, second = (create(tmp_path / name, NETWORK) for name in ("a", "b"))
    pairs = [p for i in (first, second) for p in (i.key, i.tls, i.log, i.witness)]
    assert len({pair.public for pair in pairs}) == 8


@pytest.mark.rule("ID-23")
def test_nothing_is_ever_overwritten(folder: Path, tmp_path: Path) -> None:
    before = _files(folder)
    with pytest.raises(IdentityError, match="is there already and is not overwritten"):
        create(folder, NETWORK)
    assert _files(folder) == before
    for taken in (folder / "tls.key", folder):
        with pytest.raises(IdentityError, match="is there already"):
            create_key(taken)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "to empty").symlink_to(tmp_path / "empty")
    for link in ("link", "to empty"):
        with pytest.raises(IdentityError, match="is there already"):
            create(tmp_path / link, NETWORK)
        with pytest.raises(IdentityError, match="is there already"):
            create_key(tmp_path / link)
    assert not (tmp_path / "nowhere").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_empty_folder_may_wait_for_it(tmp_path: Path) -> None:
    (tmp_path / "id").mkdir(mode=0o755)
    create(tmp_path / "id", NETWORK)
    assert _mode(tmp_path / "id") == 0o700


def test_without_a_place_to_make_it_nothing_is_mined(tmp_path: Path) -> None:
    impossible = make_network(c1=64)
    with pytest.raises(IdentityError, match=r"its folder does not exist; type: mkdir -p "):
        create(tmp_path / "no" / "id", impossible)
    with pytest.raises(IdentityError, match="its folder does not exist"):
        create_key(tmp_path / "no" / "key")


def _failing(
    real: Callable[[int], None], nth: int, error: BaseException | type[BaseException]
) -> Callable[[int], None]:
    """Return ``real``, apart from its n-th call."""
    calls = count()

    def call(descriptor: int) -> None:
        if next(calls) == nth:
            raise error
        real(descriptor)

    return call


@pytest.mark.rule("ID-23")
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException | type[BaseException]
) -> None:
    """Every durable step fails once: the n-th fsync of a creation, for every n."""
    real, failed = os.fsync, 0
    for nth in range(20):
        monkeypatch.setattr(os, "fsync", _failing(real, nth, error))
        try:
            create(tmp_path / "id", NETWORK)
        except (KeyboardInterrupt, IdentityError):
            failed += 1
        else:
            break
        finally:
            monkeypatch.setattr(os, "fsync", real)
        if (tmp_path / "id").exists():  # only making the renaming durable may fail after it
            load(tmp_path / "id", NETWORK)
            for name in ALL:
                (tmp_path / "id" / name).unlink()
            (tmp_path / "id").rmdir()
        assert list(tmp_path.iterdir()) == []
    assert failed == 7  # five files, the draft's folder, the folder around it


def test_an_interrupted_search_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(effort: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1  # the draft, empty
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "id", make_network(c1=40), jobs=1, watch=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_folder_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    def intrude(effort: object) -> None:
        (tmp_path / "id").mkdir(exist_ok=True)
        (tmp_path / "id" / "thesis.tex").write_text("mine")

    with pytest.raises(IdentityError, match="not empty"):
        create(tmp_path / "id", NETWORK, watch=intrude)
    assert [path.name for path in tmp_path.rglob("*")] == ["id", "thesis.tex"]


# --- loading -------------------------------------------------------------------------------------
def _link(path: Path) -> None:
    path.rename(path.with_name("x"))
    path.symlink_to("x")


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


SPOILT: dict[str, tuple[Spoil, str]] = {
    "missing": (Path.unlink, r"No such file.*; type: ls -ld"),
    "empty": (lambda p: p.write_bytes(b""), r"has 0 bytes, must have \d+"),
    "short": (lambda p: p.write_bytes(p.read_bytes()[:-2] + b"\n"), r"has \d+ bytes, must have"),
    "long": (lambda p: p.write_bytes(p.read_bytes() + b"\n"), r"has \d+ bytes, must have"),
    "huge": (lambda p: p.write_bytes(bytes(1 << 20)), r"has more than 64 bytes"),
    "no newline": (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"A"), "is not base64url"),
    "other letters": (lambda p: p.write_bytes(b"+" + p.read_bytes()[1:]), "is not base64url"),
    "not canonical": (lambda p: p.write_bytes(p.read_bytes()[:-2] + b"_\n"), "is not base64url"),
    "for the group": (lambda p: p.chmod(0o640), "has mode 0640, must be 0600; type: chmod 600 "),
    "for everybody": (lambda p: p.chmod(0o604), "has mode 0604, must be 0600; type: chmod 600 "),
    "executable": (lambda p: p.chmod(0o700), "has mode 0700, must be 0600; type: chmod 600 "),
    "a link": (_link, "is a link, which is not followed"),
    "a hard link": (lambda p: os.link(p, p.with_name("x")), r"has 2 names \(hard links\)"),
    "a folder": (_replace_by_folder, "is not a regular file"),
    "a pipe": (_replace_by_pipe, "is not a regular file"),
}


@pytest.mark.rule("ID-21")
@pytest.mark.rule("ID-22")
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_is_not_as_it_was_made_is_not_loaded(folder: Path, name: str, how: str) -> None:
    """The error names the file, what was found and what to type; it quotes no secret."""
    secrets = [data[:-1].decode() for data in _files(folder).values()]
    spoil, message = SPOILT[how]
    spoil(folder / name)
    with pytest.raises(IdentityError) as refusal:
        load(folder, NETWORK)
    said = str(refusal.value)
    assert said.startswith(f"{folder / name}: ")
    assert re.search(message, said)
    assert "; type: " in said
    assert not any(secret in said for secret in secrets)


@pytest.mark.rule("ID-21")
@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o1700])
def test_a_folder_that_others_can_enter_is_not_loaded(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(IdentityError) as refusal:
        load(folder, NETWORK)
    assert f"{folder}: has mode {mode:04o}, must be 0700; type: chmod 700 " in str(refusal.value)


@pytest.mark.rule("ID-21")
def test_a_link_to_a_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(IdentityError, match="link: is a link, which is not followed"):
        load(tmp_path / "link", NETWORK)


def test_a_stricter_mode_is_as_good(folder: Path) -> None:
    made = read(folder)
    for name in ALL:
        (folder / name).chmod(0o400)
    folder.chmod(0o500)
    assert load(folder, NETWORK) == made
    folder.chmod(0o700)


@pytest.mark.rule("ID-21")
def test_what_belongs_to_another_user_is_not_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is whom the operating system says we are: another one than the files' owner."""
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(IdentityError) as refusal:
        load(folder, NETWORK)
    assert f"belongs to user {owner}, must belong to user {owner + 1}" in str(refusal.value)
    assert f"type: sudo chown {owner + 1} {folder}" in str(refusal.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ALL)
def test_a_file_given_to_another_user_is_not_loaded(folder: Path, name: str) -> None:
    os.chown(folder / name, 12_345, -1)
    with pytest.raises(IdentityError, match=f"{name}: belongs to user 12345"):
        load(folder, NETWORK)


@pytest.mark.rule("ID-22")
@pytest.mark.parametrize("at", range(1, 4))
def test_one_key_in_two_files_is_refused(folder: Path, at: int) -> None:
    for other in range(at):
        held = (folder / KEY_FILES[at]).read_bytes()
        (folder / KEY_FILES[at]).write_bytes((folder / KEY_FILES[other]).read_bytes())
        with pytest.raises(IdentityError, match=f"holds the same key as {KEY_FILES[other]}"):
            load(folder, NETWORK)
        (folder / KEY_FILES[at]).write_bytes(held)
    load(folder, NETWORK)


def _unsolved(folder: Path, network: Network) -> Network:
    """Return ``network`` in an epoch whose puzzle the identity has not solved."""
    identity = read(folder)
    for last in range(256):
        other = replace(network, epoch=bytes(31) + bytes([last]))
        try:
            other.check_puzzles(identity.id, identity.solution)
        except IdentityError:
            return other
    raise AssertionError("no epoch is unsolved")


@pytest.mark.rule("ID-22")
def test_a_solution_of_another_epoch_is_refused_with_the_command_that_renews_it(
    folder: Path,
) -> None:
    with pytest.raises(IdentityError) as refusal:
        load(folder, _unsolved(folder, NETWORK))
    assert str(refusal.value).startswith(f"{folder / SOLUTION_FILE}: dynamic puzzle: ")
    assert str(refusal.value).endswith(
        f"; type: qisguard id mine {folder} --network FILE --authority KEY"
    )


def test_an_id_that_is_too_cheap_wants_another_identity(folder: Path) -> None:
    harder = replace(NETWORK, c1=static_bits(read(folder).id) + 1)
    for use in (load, renew_solution):
        with pytest.raises(IdentityError, match="another id is needed; type: qisguard id new"):
            use(folder, harder)


def test_reading_asks_for_no_puzzles(folder: Path) -> None:
    assert read(folder) == load(folder, NETWORK)
    assert read(folder).key == load(folder, replace(NETWORK, c2=0, epoch=b"x" * 32)).key


# --- renewing ------------------------------------------------------------------------------------
def test_a_new_epoch_changes_the_solution_alone(folder: Path) -> None:
    before = _files(folder)
    renewed = renew_solution(folder, NEXT)
    after = _files(folder)
    assert load(folder, NEXT) == renewed
    assert {name for name in ALL if before[name] != after[name]} == {SOLUTION_FILE}
    assert list(after) == sorted(ALL)
    assert _mode(folder / SOLUTION_FILE) == 0o600


def test_an_argon2id_network_is_served_too(folder: Path) -> None:
    dear = replace(NETWORK, puzzle=PuzzleForm.ARGON2ID, memory=1_024, epoch=b"d" * 32, c2=8)
    with pytest.raises(IdentityError, match="dynamic puzzle"):
        load(folder, replace(dear, c2=40))  # 8 bits, an old solution meets once in 256 times
    assert renew_solution(folder, dear) == load(folder, dear)


@pytest.mark.rule("ID-23")
def test_an_interrupted_renewal_leaves_the_old_solution(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(folder)
    for name in ("fsync", "rename"):

        def fail(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, name, fail)
        with pytest.raises(KeyboardInterrupt):
            renew_solution(folder, NEXT)
        monkeypatch.undo()
        assert _files(folder) == before
    load(folder, NETWORK)


def test_what_a_crash_left_does_not_stand_in_the_way(folder: Path, tmp_path: Path) -> None:
    (folder / ".solution.tmp").write_bytes(b"half")
    renew_solution(folder, NEXT)
    assert sorted(_files(folder)) == sorted(ALL)
    (tmp_path / ".author.key.tmp").symlink_to(folder / "tls.key")
    before = _files(folder)
    create_key(tmp_path / "author.key")
    assert _files(folder) == before


# --- author keys ---------------------------------------------------------------------------------
@pytest.mark.rule("ID-20")
def test_an_author_key_is_one_file(tmp_path: Path) -> None:
    made = create_key(tmp_path / "author.key")
    data = (tmp_path / "author.key").read_bytes()
    assert data == to_text(made.secret[:32]).encode() + b"\n"
    assert load_key(tmp_path / "author.key") == made
    assert KeyPair.from_seed(made.secret[:32]) == made
    assert [path.name for path in tmp_path.iterdir()] == ["author.key"]


@pytest.mark.rule("ID-23")
def test_an_author_key_that_appears_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "author.key", os.fsync

    def intrude(descriptor: int) -> None:
        path.write_text("somebody else's")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", intrude)
    with pytest.raises(IdentityError, match="File exists"):
        create_key(path)
    assert path.read_text() == "somebody else's"
    assert [path.name for path in tmp_path.iterdir()] == ["author.key"]


@pytest.mark.rule("ID-21")
@pytest.mark.parametrize("how", SPOILT)
def test_an_author_key_that_is_not_as_it_was_made_is_not_loaded(tmp_path: Path, how: str) -> None:
    path = tmp_path / "author.key"
    create_key(path)
    spoil, message = SPOILT[how]
    spoil(path)
    with pytest.raises(IdentityError, match=message):
        load_key(path)
