"""Nobody is kept out by somebody who speaks in his name: the short form of that figure."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_everybody_gets_in_under_every_attack_by_whose_word_ever() -> None:
    arguments = ["--seeds", "1", "--rates", "3000", "--gossip", "300", "--liars", "1", "3"]
    arguments.append("--json")
    done = subprocess.run(
        [sys.executable, "benchmarks/reliability/lockout.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert [result["scenario"] for result in results[:4]] == [
        "no attack",
        "spoofer",
        "hellos",
        "claimer",
    ]
    assert sum("first contact" in result["scenario"] for result in results) == 6
    for result in results:
        assert result["opened_within_30_s"].startswith(("10/10 ", "20/20 "))
    for result in results[:4]:
        assert result["opened_at_first_attempt"].startswith("10/10 ")
        assert result["asked_in_open_sessions_answered"].startswith("40/40 ")
    assert all(result["attack_datagrams"] > 0 for result in results if result["rate_per_second"])
