"""Tables of a TOML file, read so that every fault is found at once.

A method that meets a fault notes it, in words, and returns a value that the reading goes on with;
whoever began the reading looks at ``faults`` at its end. Texts and numbers have one form only:

- A text is 1 to 60 printable characters in normal form C (Unicode Standard Annex 15) without space
  at its ends, so that two texts that look the same are the same bytes.
- A number is kept as the decimal that is written, not as the nearest binary fraction.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from qisguard.errors import RecordError
from qisguard.fill import nearest, show

TEXT_MAX = 60
WORDS_MAX = 256
DIGITS_MAX = 15
"""Significant digits that every double-precision reader keeps apart (IEEE 754, DBL_DIG)."""
NUMBER_MAX = 10**15
TEXT = f"a text of 1 to {TEXT_MAX} printable characters in normal form C"
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")
NUMBER = f"a number from -1e15 to 1e15 of at most {DIGITS_MAX} digits and decimals"


def read_toml(data: bytes, size_max: int) -> dict[str, Any]:
    """Return the tables of a TOML file, its floats as Decimal; raise RecordError."""
    if len(data) > size_max:
        raise RecordError(f"template: {len(data)} bytes, at most {size_max}")
    try:
        return tomllib.loads(data.decode(), parse_float=_decimal)
    except (ValueError, RecursionError) as error:  # both decoders' errors, and absurd numbers
        raise RecordError(f"template: not TOML: {error}") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("nan")


def is_text(value: object) -> bool:
    """Return whether a value is a text in the one form that is read."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= TEXT_MAX
        and value.isprintable()
        and value == value.strip()
        and unicodedata.is_normalized("NFC", value)
    )


def plain(number: Decimal | int) -> str | None:
    """Return the one decimal text of a number, or None when it has too many digits.

    No exponent, no sign of zero, no zeros that say nothing: ``-0.0`` is ``0``, ``1e2`` is ``100``.
    """
    sign, digits, exponent = Decimal(number).as_tuple()
    if not isinstance(exponent, int):
        return None  # not finite
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    exponent += len(text) - len(kept)
    if not kept:
        return "0"
    if len(kept) > DIGITS_MAX or exponent < -DIGITS_MAX or len(kept) + exponent > DIGITS_MAX + 1:
        return None
    minus = "-" if sign else ""
    if exponent >= 0:
        return minus + kept + "0" * exponent
    kept = kept.rjust(1 - exponent, "0")
    return f"{minus}{kept[:exponent]}.{kept[exponent:]}"


class Table:
    """One table and its name in messages; ``faults`` are shared by all tables of a file."""

    def __init__(self, values: Mapping[str, Any], where: str, faults: list[str]) -> None:
        self.values, self.where, self.faults = values, where, faults

    def wrong(self, key: str, value: object, allowed: str) -> None:
        """Note that a value does not fit."""
        where = f"{self.where}.{key}".strip(".")
        found = _DECIMAL.sub(r"\1", show(value))
        self.faults.append(f"{where} = {found}, must be {allowed}")

    def known(self, *names: str) -> None:
        """Note every key that is none of ``names``."""
        for key in self.values:
            if key not in names:
                where = f"{self.where}: " if self.where else ""
                self.faults.append(f"{where}unknown key {show(key)}{nearest(key, names)}")

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.values.get(key)
        if is_text(value):
            return str(value)
        self.wrong(key, value, TEXT)
        return ""

    def name(self, key: str) -> None:
        """Note a key that is no text in the one form."""
        if not is_text(key):
            self.wrong("", key, TEXT)

    def flag(self, key: str, default: bool | None) -> bool | None:
        """Return a truth value, or ``default`` where none is given."""
        value = self.values.get(key, default)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(key, value, "true or false")
        return default

    def whole(self, key: str, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.wrong(key, value, f"a whole number from {low} to {high}")
        return low

    def number(self, key: str) -> Decimal:
        """Return a number."""
        value: Any = self.values.get(key)
        if is_number(value):
            return Decimal(value)
        self.wrong(key, value, NUMBER)
        return Decimal(0)

    def choice(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        """Return one text of a closed set."""
        value, known = self.values.get(key, default), list(allowed)
        if isinstance(value, str) and value in known:
            return value
        hint = nearest(value, known) if isinstance(value, str) else ""
        self.wrong(key, value, f"one of {', '.join(known)}{hint if 'mean' in hint else ''}")
        return known[0]

    def words(self, key: str, least: int = 1) -> tuple[str, ...]:
        """Return different texts, in the order of the file."""
        values: Any = self.values.get(key)
        fits = isinstance(values, list) and all(is_text(value) for value in values)
        if not fits or not least <= len(values) <= WORDS_MAX or len(set(values)) != len(values):
            what = f"a list of {least} to {WORDS_MAX} different texts, each {TEXT}"
            self.wrong(key, values, what)
            return ()
        return tuple(values)

    def table(self, key: str, where: str = "") -> "Table":
        """Return a table within this one."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            self.wrong(key, value, f"a table: [{where or key}]")
            return Table({}, where or key, [])  # what it lacks follows from its not being there
        return Table(value, where or key, self.faults)

    def tables(self, key: str, least: int, most: int, where: str = "") -> "list[Table]":
        """Return a list of tables; each is named by its ``name`` or its place."""
        values, where = self.values.get(key, []), where or key
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            self.wrong(key, values, f"[[{where}]] tables")
            return []
        if not least <= len(values) <= most:
            self.wrong(key, f"{len(values)} tables", f"{least} to {most} [[{where}]] tables")
        return [
            Table(value, f"{where}.{_name(value, place)}", self.faults)
            for place, value in enumerate(values[:most], start=1)
        ]


def _name(value: Mapping[str, object], place: int) -> str:
    name = value.get("name")
    return str(name) if is_text(name) else str(place)


def is_number(value: object) -> bool:
    """Return whether a TOML value is a number within bounds, with a plain decimal text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    number = Decimal(value)
    return number.is_finite() and abs(number) <= NUMBER_MAX and plain(number) is not None
