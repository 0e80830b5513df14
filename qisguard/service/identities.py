"""A node's identity on disk: a folder with one small file for each secret key, and the solution.

    identity.key  tls.key  log.key  witness.key      a 32-byte seed in base64url, and a newline
    solution                                         16 bytes in base64url, and a newline

- The folder has mode 0700 and its files 0600. What anybody else could read, write or redirect is
  not loaded: another owner, a wider mode, a link of either kind.
- A folder appears whole or not at all, and nothing is ever written over an identity: a file is
  written under a temporary name, made durable and then named.
- Every refusal names the file, what was found there and what to type, after ``; type: ``.
"""

import hmac
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from qisguard.errors import IdentityError, QisguardError
from qisguard.identity.descriptor import Identity
from qisguard.identity.keys import KeyPair, from_text, to_text
from qisguard.identity.network import Network
from qisguard.identity.puzzle import SOLUTION_SIZE, check_static
from qisguard.service.mining import Watch, ignore, mine_key, mine_solution

SEED_SIZE = 32
CHECK_SIZE = 8
SECRET_TAG = b"qisguard/similarity-secret/v1\n"
KEY_FILES = ("identity.key", "tls.key", "log.key", "witness.key")
SOLUTION_FILE = "solution"
TEMPORARY = ".tmp"
FOLDER_MODE, FILE_MODE = 0o700, 0o600


def create(
    folder: Path, network: Network, *, jobs: int | None = None, watch: Watch = ignore
) -> Identity:
    """Mine a fresh identity for ``network`` into a new folder; an empty one may be there already.

    Raises:
        IdentityError: something is there already, or the folder cannot be made.
    """
    folder = Path(os.path.abspath(folder))  # not resolved: a link at its end is refused
    _check_free(folder)
    with _draft(folder) as draft:
        key = mine_key(network, jobs, watch)
        solution = mine_solution(network, key, jobs, watch)
        keys = (key, *(KeyPair.from_seed(os.urandom(SEED_SIZE)) for _ in KEY_FILES[1:]))
        with _explained(folder):
            for name, pair in zip(KEY_FILES, keys, strict=True):
                _write(draft / name, _key_text(pair))
            _write(draft / SOLUTION_FILE, _solution_text(solution))
            _sync_folder(draft)
            os.rename(draft, folder)  # fails when somebody has put something there meanwhile
            _sync_folder(folder.parent)
    return load(folder, network)


def read(folder: Path) -> Identity:
    """Return the identity in a folder, whether or not it solved anybody's puzzles.

    Raises:
        IdentityError: a missing, unsafe or malformed file, or one key in two files.
    """
    with _open_folder(folder) as descriptor:
        keys = [_parse_key(folder / name, _take(folder, name, descriptor)) for name in KEY_FILES]
        solution = _parse(
            folder / SOLUTION_FILE, _take(folder, SOLUTION_FILE, descriptor), SOLUTION_SIZE
        )
    for at, name in enumerate(KEY_FILES):
        for other in range(at):
            if keys[at].public == keys[other].public:
                raise _refusal(
                    folder / name,
                    f"holds the same key as {KEY_FILES[other]}; each key does one job",
                    _another(folder),
                )
    identity, tls, log, witness = keys
    return Identity(identity, solution, tls, log, witness)


def load(folder: Path, network: Network) -> Identity:
    """Return the identity in a folder, ready for use in ``network``.

    Raises:
        IdentityError: as ``read``; or a puzzle of the network is not solved.
    """
    identity = read(folder)
    _check_static(folder, identity, network)
    try:
        network.check_dynamic(identity.id, identity.solution)
    except IdentityError as error:
        raise _refusal(
            folder / SOLUTION_FILE,
            f"{error}; it is for another epoch or network",
            f"qisguard id mine {_quote(folder)} --network FILE --authority KEY",
        ) from None
    return identity


def renew_solution(
    folder: Path, network: Network, *, jobs: int | None = None, watch: Watch = ignore
) -> Identity:
    """Solve the dynamic puzzle for the epoch of ``network`` and replace the solution alone.

    Until then the old solution stays, whatever happens.

    Raises:
        IdentityError: as ``read``; or the id does not meet the static puzzle, which only a new
            identity can.
    """
    identity = read(folder)
    _check_static(folder, identity, network)
    solution = mine_solution(network, identity.key, jobs, watch)
    target = folder / SOLUTION_FILE
    with _explained(target):
        temporary = _write_temporary(target, _solution_text(solution))
        try:
            os.rename(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(folder)
    return replace(identity, solution=solution)


def create_key(path: Path) -> KeyPair:
    """Write a fresh author key to a new file; raise IdentityError when one is there already."""
    path = Path(os.path.abspath(path))
    _check_free(path)
    key = KeyPair.from_seed(os.urandom(SEED_SIZE))
    with _explained(path):
        _write(path, _key_text(key))
        _sync_folder(path.parent)
    return key


def load_key(path: Path) -> KeyPair:
    """Return the key in a file that ``create_key`` wrote; raise IdentityError as ``read``."""
    return _parse_key(path, _take(path.parent, path.name, None))


def create_secret(path: Path, network: bytes) -> bytes:
    """Write a fresh secret of a network's keyed templates to a new file, and return it.

    The file holds the text form of the secret's 32 bytes and of a check of 8, which tells it from
    the secret of another network and from a damaged one.

    Raises:
        IdentityError: something is there already, or the file cannot be written.
    """
    path = Path(os.path.abspath(path))
    _check_free(path)
    secret = os.urandom(SEED_SIZE)
    with _explained(path):
        _write(path, to_text(secret + secret_check(secret, network)).encode() + b"\n")
        _sync_folder(path.parent)
    return secret


def load_secret(path: Path, network: bytes) -> bytes:
    """Return the secret in a file that ``create_secret`` wrote for the network of this id.

    Raises:
        IdentityError: a missing, unsafe or malformed file, or the secret of another network.
    """
    data = _parse(path, _take(path.parent, path.name, None), SEED_SIZE + CHECK_SIZE)
    secret, check = data[:SEED_SIZE], data[SEED_SIZE:]
    if check != secret_check(secret, network):
        raise _refusal(
            path,
            f"is damaged, or the secret of another network than {to_text(network)}",
            f"ls -l {_quote(path)}",
        )
    return secret


def secret_check(secret: bytes, network: bytes) -> bytes:
    """Return 8 bytes by which members compare their secrets; they tell nothing of the secret."""
    return hmac.digest(secret, SECRET_TAG + network, "sha256")[:CHECK_SIZE]


# --- checks --------------------------------------------------------------------------------------
def _check_free(path: Path) -> None:
    """Raise IdentityError unless ``path`` is free to be created in a folder that exists."""
    if not path.parent.is_dir():
        raise _refusal(path, "its folder does not exist", f"mkdir -p {_quote(path.parent)}")
    if not os.path.lexists(path):
        return
    is_empty_folder = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    if not is_empty_folder:
        raise _refusal(path, "is there already and is not overwritten", f"ls -la {_quote(path)}")


def _check_static(folder: Path, identity: Identity, network: Network) -> None:
    try:
        check_static(network.c1, identity.id)
    except IdentityError as error:
        raise _refusal(
            folder / KEY_FILES[0],
            f"{error}; another id is needed",
            _another(folder),
        ) from None


def _check_safe(path: Path, found: os.stat_result, allowed: int) -> None:
    """Raise IdentityError when somebody else owns, reads or changes a file or folder."""
    if found.st_uid != os.geteuid():
        raise _refusal(
            path,
            f"belongs to user {found.st_uid}, must belong to user {os.geteuid()}",
            f"sudo chown {os.geteuid()} {_quote(path)}",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~allowed:
        raise _refusal(
            path,
            f"has mode {mode:04o}, must be {allowed:04o}",
            f"chmod {allowed:o} {_quote(path)}",
        )


# --- reading -------------------------------------------------------------------------------------
@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    """Open a folder once, so that all its files come from the one that was checked."""
    with _explained(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check_safe(folder, os.fstat(descriptor), FOLDER_MODE)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(folder: Path, name: str, within: int | None) -> bytes:
    """Return the content of a safe regular file; no file here has more than 64 bytes."""
    path = folder / name
    with _explained(path):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path if within is None else name, flags, dir_fd=within)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _refusal(path, "is not a regular file", f"ls -ld {_quote(path)}")
        if found.st_nlink != 1:
            raise _refusal(
                path,
                f"has {found.st_nlink} names (hard links), must have one",
                f"find {_quote(folder)} -samefile {_quote(path)}",
            )
        _check_safe(path, found, FILE_MODE)
        with _explained(path):
            return os.read(descriptor, 65)
    finally:
        os.close(descriptor)


def _parse_key(path: Path, data: bytes) -> KeyPair:
    return KeyPair.from_seed(_parse(path, data, SEED_SIZE))


def _parse(path: Path, data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes that a file holds in base64url; an error never quotes a secret."""
    length = (4 * size + 2) // 3 + 1
    backup = f"ls -l {_quote(path)}"
    if len(data) != length:
        held = f"{len(data)}" if len(data) <= 64 else "more than 64"
        raise _refusal(path, f"has {held} bytes, must have {length}: restore it", backup)
    try:
        if data[-1:] == b"\n":
            return from_text(data[:-1].decode("latin-1"), size)
    except QisguardError:
        pass
    raise _refusal(path, f"is not base64url of {size} bytes and a newline: restore it", backup)


# --- writing -------------------------------------------------------------------------------------
@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Make a private folder beside the one to be made, before hours of work; remove what is left.

    It holds nothing until the puzzles are solved, and becomes the identity by its renaming.
    """
    draft = folder.parent / f".{folder.name}.{os.urandom(6).hex()}{TEMPORARY}"
    try:  # an interrupt may come at any moment: the name is known before the folder is there
        with _explained(folder):
            draft.mkdir(FOLDER_MODE)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    """Create a file durably and whole; an existing one is an error, never overwritten."""
    temporary = _write_temporary(path, data)
    try:
        os.link(temporary, path)  # unlike a renaming, it fails when the name is taken
    finally:
        os.unlink(temporary)


def _write_temporary(path: Path, data: bytes) -> Path:
    """Return the temporary file that holds ``data``, durably."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.unlink(missing_ok=True)  # what a crash left
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key_text(key: KeyPair) -> bytes:
    return to_text(key.secret[:SEED_SIZE]).encode() + b"\n"


def _solution_text(solution: bytes) -> bytes:
    return to_text(solution).encode() + b"\n"


# --- words ---------------------------------------------------------------------------------------
@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says about ``path`` into a refusal."""
    try:
        yield
    except OSError as error:
        what = error.strerror or type(error).__name__
        if path.is_symlink():
            what = "is a link, which is not followed"
        raise _refusal(path, what, f"ls -ld {_quote(path)}") from None


def _refusal(path: Path, what: str, command: str) -> IdentityError:
    return IdentityError(f"{path}: {what}; type: {command}")


def _another(folder: Path) -> str:
    """Return the command that makes another identity beside this one."""
    beside = folder.with_name(folder.name + "-new")
    return f"qisguard id new --network FILE --authority KEY --out {_quote(beside)}"


def _quote(path: Path) -> str:
    return shlex.quote(str(path))
