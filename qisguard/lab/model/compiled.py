"""One decorator: machine code that is kept on disk, and never older than its source.

Numba's cache notices a change of the file that a function is in, not of the files whose functions
it calls. So the code is kept in a folder named by a digest of this whole package.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

HERE = Path(__file__).parent
CONFIG: Any = numba.config
"""Numba sets its attributes as it loads, unseen by a type checker."""


def digest_of(paths: Iterable[Path]) -> str:
    """Return 16 hex digits that change when a file does."""
    return sha256(b"".join(sha256(path.read_bytes()).digest() for path in paths)).hexdigest()[:16]


DIGEST = digest_of(sorted(HERE.glob("*.py")))
FOLDER = Path(CONFIG.CACHE_DIR or HERE / "__pycache__") / f"model-{DIGEST}"


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` compiled on its first call, without Python's lock while it runs.

    Where the folder cannot be written, every process compiles anew (nine seconds of CPU time);
    NUMBA_CACHE_DIR names another.
    """
    before = CONFIG.CACHE_DIR
    CONFIG.CACHE_DIR = str(FOLDER)
    try:
        made: Callable[P, R] = numba.njit(cache=_is_writable(), nogil=True)(function)
    finally:
        CONFIG.CACHE_DIR = before
    return made


def _is_writable() -> bool:
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True
