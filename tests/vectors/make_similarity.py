"""Make ``similarity.json``: the key of every case, byte for byte, and values that have none.

    uv run python tests/vectors/make_similarity.py

Everything follows from fixed texts, so the file is the same wherever it is made. Keys and secrets
are in hex; ``key`` is null where a value must be refused. The rules are those of
``docs/spec/similarity.md``.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from qisguard.errors import RecordError
from qisguard.outcomes.template import Template, open_template

FILE = Path(__file__).with_name("similarity.json")
SECRETS = [None, *(sha256(f"vectors secret {name}".encode()).digest() for name in "ab")]
PACKAGED = Path(__file__).parents[2] / "scenarios" / "templates" / "breast-cancer.toml"

Case = dict[str, Any]

HEAD = """\
name = "{name}"
version = {version}
expansion_cap = 10000
arms = ["a", "b"]
[domain]
prefix = {prefix}
label = "vectors"
[outcome]
kind = "binary"
"""


def _template(name: str, fields: str, prefix: int = 7, version: int = 1) -> str:
    return HEAD.format(name=name, prefix=prefix, version=version) + fields


WORDS = """
[[field]]
name = "größe"
categories = ["klein", "größer", "ﬁne", "日本", "a \\"b\\" \\\\c", "é", "🙂"]
[[field]]
name = "b"
categories = ["é", "e"]
"""
NUMBERS = """
[[field]]
name = "x"
unit = "u"
edges = [{edges}]
"""
TEMPLATES = {
    "packaged": PACKAGED.read_text("utf-8"),
    "words": _template("words", WORDS, prefix=0),
    "words, version 2": _template("words", WORDS, prefix=0, version=2),
    "numbers": _template("numbers", NUMBERS.format(edges="-1.5, 0, 0.1, 10, 1e6"), prefix=255),
    "same edges": _template(
        "numbers", NUMBERS.format(edges="-15e-1, -0.0, 1E-1, 10.00, 1_000_000")
    ),
    "near edges": _template("near", NUMBERS.format(edges="1000000, 1000001, 1000001.000001")),
    "small edges": _template("small", NUMBERS.format(edges="1e-15, 0.000000000000002, 1e15")),
}

VALUES: dict[str, list[tuple[str, Case]]] = {
    "packaged": [
        ("a case", {"grade": "II", "menopause": "Post", "oestrogen-receptor": 9,
                    "progesterone-receptor": 100}),
        ("the same as decimals", {"grade": "II", "menopause": "Post", "oestrogen-receptor": 9.0,
                                  "progesterone-receptor": 100.0}),
        ("another order", {"progesterone-receptor": 100, "oestrogen-receptor": 9,
                           "menopause": "Post", "grade": "II"}),
        ("a number as a word", {"grade": "II", "menopause": "Post", "oestrogen-receptor": "9",
                                "progesterone-receptor": 100}),
        ("a truth value", {"grade": "II", "menopause": "Post", "oestrogen-receptor": True,
                           "progesterone-receptor": 100}),
        ("a word in another case", {"grade": "ii", "menopause": "Post", "oestrogen-receptor": 9,
                                    "progesterone-receptor": 100}),
        ("a field missing", {"grade": "II", "menopause": "Post", "oestrogen-receptor": 9}),
        ("a field too many", {"grade": "II", "menopause": "Post", "oestrogen-receptor": 9,
                              "progesterone-receptor": 100, "age": 50}),
    ],
    "words": [
        (f"{size} {b}", {"größe": size, "b": b})
        for size in ("klein", "größer", "ﬁne", "日本", 'a "b" \\c', "é", "🙂")
        for b in ("é", "e")
    ] + [
        ("combining marks", {"gr\u00f6\u00dfe": "gro\u0308\u00dfer", "b": "e\u0301"}),
        ("a ligature is not its letters", {"größe": "fine", "b": "e"}),
        ("space at the end", {"größe": "klein ", "b": "e"}),
        ("an empty word", {"größe": "", "b": "e"}),
        ("a number for a word", {"größe": 1, "b": "e"}),
    ],
    "words, version 2": [("klein e", {"größe": "klein", "b": "e"})],
}  # fmt: skip

NUMBERS_TRIED: dict[str, list[int | float]] = {
    "numbers": [
        -1.5, -1.500000001, -1.4999999999999998, -1, -1e-300, -0.0, 0, 0.0, 5e-324, 0.1,
        0.09999999999999999, 0.1 + 1e-9, 0.1 - 1e-9, 10, 10.0, 10 - 1e-9, 9.999999999999998,
        10 + 1e-9, 999999, 999999.9999999999, 1000000, 1e6, 2**53 - 1, 9007199254740991.0, 2**53,
        -2, 1e300, 10**40,
    ],
    "same edges": [-1.5, -0.0, 0.1, 10, 1000000],
    "near edges": [999999.9999999999, 1000000, 1000000.9999999999, 1000001, 1000001.000001,
                   1000001.0000009999],
    "small edges": [0, 1e-15, 9.999999999999999e-16, 2e-15, 1.9999999999999998e-15, 1e15,
                    999999999999999.9],
}  # fmt: skip


def _cases() -> Iterator[Case]:
    opened = {name: open_template(text.encode()) for name, text in TEMPLATES.items()}
    for name, values in VALUES.items():
        for what, given in values:
            for place, secret in enumerate(SECRETS):
                title = f"{name}: {what}" + (f", secret {place}" if secret else "")
                yield _case(title, name, opened[name], given, secret)
    for name, numbers in NUMBERS_TRIED.items():
        for number in numbers:
            yield _case(f"{name}: {number!r}", name, opened[name], {"x": number}, None)


def _case(title: str, name: str, template: Template, given: Case, secret: bytes | None) -> Case:
    case: Case = {
        "name": title,
        "template": name,
        "values": given,
        "secret": secret.hex() if secret else None,
        "labels": None,
        "key": None,
    }
    try:
        labels = template.labels(given)
        return case | {"labels": list(labels), "key": template.hash(labels, secret).hex()}
    except RecordError:
        return case


def _shape(name: str) -> Case:
    """Return what a reader without TOML needs of a template."""
    text = TEMPLATES[name]
    template = open_template(text.encode())
    fields = [
        {"name": field.name, "categories": list(field.categories)}
        if field.categories
        else {"name": field.name, "edges": list(field.marks)}
        for field in template.fields
    ]
    return {"toml": text, "id": template.id, "prefix": template.prefix, "fields": fields}


def make() -> bytes:
    """Return the file."""
    value = {"templates": {name: _shape(name) for name in TEMPLATES}, "cases": list(_cases())}
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(make())
