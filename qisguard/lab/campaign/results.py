"""Every measurement of a run as one Parquet table, and questions about it in SQL.

Columns: ``scenario digest point engine arm seed metric kind hits tries value trial seconds
cpu_seconds``, one row for each trial and metric. ``point`` is JSON, and each key of the grid has a
column as well: ``attack.share`` is ``point_attack_share``. ``value`` is hits / tries of a ratio.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qisguard.errors import QisguardError, ScenarioError
from qisguard.lab.campaign.ledger import Done
from qisguard.lab.campaign.plan import Plan

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 20_000
"""Trials that are turned into rows at a time."""


def check_installed() -> None:
    """Load what writes results; raise QisguardError when it is not there."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise QisguardError(
            "pyarrow is not installed and results are written with it: pip install 'qisguard[lab]'"
        ) from None


def warm_up() -> None:
    """Let pyarrow load what it loads at first use (pandas, where there is one): a second of work.

    An interrupted campaign has no time for that.
    """
    import pyarrow as pa

    pa.array([0])


def write_results(path: Path, plan: Plan, done: Iterable[Done]) -> int:
    """Write the table of all trials; return how many rows it has."""
    import pyarrow.parquet as pq

    schema = _schema(plan)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for some in _batches(done):
            table = _table(plan, some, schema)
            count += table.num_rows
            writer.write_table(table)
    return count


def ask(path: Path, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and rows that a SELECT gives about the table ``results``.

    The question sees this table alone: no file, no network, nothing can be changed.

    Raises:
        ScenarioError: there are no results, or DuckDB refuses the question.
    """
    try:
        import duckdb
        import pyarrow.parquet as pq
    except ImportError as error:
        raise QisguardError(
            f"{error.name} is not installed and questions are answered with it: "
            "pip install 'qisguard[lab]'"
        ) from None
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise ScenarioError(f"{path}: {error}") from None
    with duckdb.connect(":memory:") as base:
        base.register("seen", table)
        base.execute("CREATE TABLE results AS SELECT * FROM seen")
        base.unregister("seen")
        base.execute("SET python_enable_replacements = false")
        base.execute("SET enable_external_access = false")
        base.execute("SET lock_configuration = true")
        try:
            statements = base.extract_statements(sql)
            kinds = [str(one.type).rpartition(".")[2] for one in statements]
            if kinds not in (["SELECT"], ["SELECT_STATEMENT"]):
                raise ScenarioError(f"query: must be one SELECT, is {', '.join(kinds) or 'empty'}")
            answer = base.execute(sql)
            columns = [str(column[0]) for column in answer.description or ()]
            return columns, answer.fetchall()
        except duckdb.Error as error:
            raise ScenarioError(f"query: {error}") from None


def _batches(done: Iterable[Done]) -> Iterator[tuple[Done, ...]]:
    left = iter(done)
    while some := tuple(islice(left, BATCH)):
        yield some


def _schema(plan: Plan) -> "pa.Schema":
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    fields = [("scenario", text), ("digest", text), ("point", text)]
    fields += [(_column(key), _kind(plan, key)) for key in _keys(plan)]
    fields += [("engine", text), ("arm", text), ("seed", pa.int64()), ("metric", text)]
    fields += [("kind", text), ("hits", pa.int64()), ("tries", pa.int64())]
    fields += [("value", pa.float64()), ("trial", pa.string())]
    fields += [("seconds", pa.float64()), ("cpu_seconds", pa.float64())]
    return pa.schema(fields)


def _table(plan: Plan, done: Iterable[Done], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    columns: dict[str, list[object]] = {name: [] for name in schema.names}
    for one in done:
        for row in _rows(plan, one):
            for name, value in row.items():
                columns[name].append(value)
    return pa.table(columns, schema=schema)


def _rows(plan: Plan, one: Done) -> Iterator[dict[str, object]]:
    entry, measured = one.entry, one.measured
    point = plan.points[entry.point]
    common = {
        "scenario": plan.name,
        "digest": plan.digest,
        "point": json.dumps(point, sort_keys=True, default=str),
        **{_column(key): _cell(plan, key, point.get(key)) for key in _keys(plan)},
        "engine": plan.loaded[entry.point].scenario.engine,
        "arm": entry.arm,
        "seed": entry.seed,
        "trial": measured.digest,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
    }
    for metric, (hits, tries) in measured.ratios.items():
        value = hits / tries if tries else None
        counted = {"metric": metric, "kind": "ratio", "hits": hits, "tries": tries}
        yield {**common, **counted, "value": value}
    for kind, numbers in (("value", measured.values), ("time", measured.times)):
        for metric, number in numbers.items():
            counted = {"metric": metric, "kind": kind, "hits": None, "tries": None}
            yield {**common, **counted, "value": number}


def _keys(plan: Plan) -> list[str]:
    return list(dict.fromkeys(key for point in plan.points for key in point))


def _column(key: str) -> str:
    return "point_" + key.replace(".", "_")


def _is_number(plan: Plan, key: str) -> bool:
    found = [point.get(key) for point in plan.points]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)


def _kind(plan: Plan, key: str) -> "pa.DataType":
    import pyarrow as pa

    return pa.float64() if _is_number(plan, key) else pa.string()


def _cell(plan: Plan, key: str, value: object) -> object:
    """Return a value of the grid for its column: a number, text, or JSON."""
    if _is_number(plan, key):
        return value
    return value if isinstance(value, str) else json.dumps(value, default=str)
