"""The third-party add-checkpoint requests, found through ``QISGUARD_VECTORS``, and their logs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from qisguard.trail.checkpoint import LogKey, parse_vkey

SIGSUM_KEY = bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")
SIGSUM = (
    "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562",
    SIGSUM_KEY,
)
SUMDB = parse_vkey("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
LOGS = {SIGSUM[0]: [LogKey(*SIGSUM)], "go.sum database tree": [SUMDB]}
"""The database of Go signs under another name than its origin."""
NAME = "example.com/witness"


def load_cases() -> list[dict[str, Any]]:
    """Return the requests in order; skip the test where they are not there."""
    found = os.environ.get("QISGUARD_VECTORS")
    file = Path(found or ".") / "witness-protocol" / "add-checkpoint.json"
    if not found or not file.exists():
        pytest.skip("QISGUARD_VECTORS does not name a folder with witness-protocol")
    cases: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["cases"]
    return cases


def expected_status(case: dict[str, Any]) -> int:
    """Return the status that the specification asks for.

    The implementation that the file comes from answers 403 for an unknown log, which the
    specification answers with 404.
    """
    return 404 if "unknown log" in case["asserts"] else int(case["status"])
