"""Flip bytes in every file of every trail of a demo, one at a time: the auditor must name the file.

    uv run python benchmarks/damage_trails.py qisguard-demo --offsets 6 --seed 1

Each try damages one copy of one trail (one bit of one byte), audits it under the demo's policy, and
wants exit 1 with a finding that names the damaged file. Prints one JSON object; exits 1 when a
try went unnoticed.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from qisguard.audit.auditor import audit, verdict
from qisguard.audit.policy import Policy, load_policy
from qisguard.exits import Exit


def is_caught(trail: Path, file: Path, policy: Policy) -> bool:
    """Return whether auditing ``trail`` ends in a finding that names ``file``."""
    report = audit([trail], policy)
    name = str(file.relative_to(trail))
    return verdict(report) is Exit.FINDING and any(found.file == name for found in report.findings)


def offsets_of(size: int, count: int, rng: random.Random) -> list[int]:
    """Return the first, the last and random offsets of a file, ``count`` in all or fewer."""
    return sorted({0, size - 1, *(rng.randrange(size) for _ in range(count - 2))})


def main() -> int:
    """Run the sweep; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("demo", type=Path, help="result folder of qisguard demo")
    parser.add_argument("--offsets", type=int, default=6, help="tries for each file, at least 2")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    policy = load_policy(arguments.demo / "policy")
    trails = sorted((arguments.demo / "trails").iterdir())
    started = time.perf_counter()
    tried, files, missed = 0, 0, []
    with tempfile.TemporaryDirectory(prefix="qisguard-") as folder:
        for index, original in enumerate(trails):
            trail = Path(folder, original.name)
            shutil.copytree(original, trail)
            for file in sorted(path for path in trail.rglob("*") if path.is_file()):
                clean = file.read_bytes()
                files += 1
                for offset in offsets_of(len(clean), arguments.offsets, rng):
                    damaged = bytearray(clean)
                    damaged[offset] ^= 1 << rng.randrange(8)
                    file.write_bytes(damaged)
                    tried += 1
                    if not is_caught(trail, file, policy):
                        missed.append(f"{original.name}/{file.relative_to(trail)} at {offset}")
                file.write_bytes(clean)
            left = (time.perf_counter() - started) / (index + 1) * (len(trails) - index - 1)
            print(f"{index + 1} of {len(trails)} trails, {left:.0f} s left", file=sys.stderr)
            shutil.rmtree(trail)
    result = {
        "trails": len(trails),
        "files": files,
        "tried": tried,
        "failed": len(missed),
        "missed": missed[:20],
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
