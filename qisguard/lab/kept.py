"""Results worth keeping: one file each, named after everything it depends on, whole or not at all.

A file that does not hold what it should is as good as none: the result is computed again.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from qisguard.errors import StoreError
from qisguard.lab.journal.writing import begin

_DOMAIN = b"qisguard-calibration-v1"


def place(folder: Path, about: object) -> Path:
    """Return the file for a result that depends on ``about`` alone."""
    return folder / f"{sha256(_encode(about)).hexdigest()[:32]}.json"


def keep(path: Path, body: object) -> None:
    """Leave the result for next time; a folder that cannot be written costs time only.

    What is written down in the journal is the draft: the result itself is meant to stay.
    """
    data = _encode({"body": body, "digest": _digest(body)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with begin() as journal, journal.draft(path) as draft:
            draft.write_bytes(data)
            draft.replace(path)
    except (OSError, StoreError):
        return


def recall(path: Path) -> dict[str, Any] | None:
    """Return the result in a file, or None unless it is whole."""
    try:
        held = json.loads(path.read_bytes())
        body = held["body"]
        if held["digest"] != _digest(body):
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _digest(body: object) -> str:
    return sha256(_DOMAIN + _encode(body)).hexdigest()
