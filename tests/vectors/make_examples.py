"""Make the invented cases of ``scenarios/examples``, other than the oldest five files.

    uv run python tests/vectors/make_examples.py

Nobody is behind them: every value follows from a seed and the few effects that are written here.
"""

import random
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "scenarios" / "examples"
HOSPITALS, CASES = 5, 60


def readmission(rng: random.Random, hospital: int) -> Iterator[list[object]]:
    """Give lines: visits at home take readmissions from about 24 % to 14 %."""
    yield ["case", "age-group", "ejection-fraction", "admissions-last-year", "kidney-function",
           "arm", "value", "stay", "lives"]  # fmt: skip
    for case in range(1, CASES + 1):
        lives = rng.choices(["alone", "with-others", "care-home"], [3, 5, 1])[0]
        arm = "usual-care" if lives == "care-home" else rng.choice(["home-visits", "usual-care"])
        before = min(rng.randrange(5), rng.randrange(5))
        risk = 0.14 + 0.03 * before + 0.10 * (arm == "usual-care")
        yield [
            f"{hospital}-{case:03d}",
            rng.choices(["18-64", "65-79", "80+"], [2, 5, 4])[0],
            rng.randint(18, 65),
            before,
            rng.randint(15, 100),
            arm,
            int(rng.random() < risk),
            min(13, 2 + rng.randrange(4) + rng.randrange(9)),
            lives,
        ]


def hba1c(rng: random.Random, hospital: int) -> Iterator[list[object]]:
    """Give lines: both drugs lower HbA1c, one of them by about 3 mmol/mol more."""
    yield ["case", "hba1c-before", "body-mass-index", "kidney-function", "arm", "value", "unit",
           "weeks"]  # fmt: skip
    for case in range(1, CASES + 1):
        before, kidney = rng.randint(53, 95), rng.randint(22, 110)
        arm = "dpp4" if kidney < 30 else rng.choice(["sglt2", "dpp4"])
        change = rng.gauss(-0.25 * (before - 45) - 3 * (arm == "sglt2"), 6)
        yield [
            f"{hospital}-{case:03d}",
            before,
            f"{rng.gauss(31, 4):.1f}",
            kidney,
            arm,
            f"{max(change, -38):.1f}",
            "mmol/mol",
            rng.randint(22, 30),
        ]


def make() -> Iterator[tuple[Path, str]]:
    """Give every file with its text."""
    for kind in (readmission, hba1c):
        for hospital in range(1, HOSPITALS + 1):
            rng = random.Random(f"examples {kind.__name__} {hospital}")
            lines = (",".join(map(str, line)) for line in kind(rng, hospital))
            path = FOLDER / kind.__name__ / f"invented-{hospital}.csv"
            yield path, "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in make():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
