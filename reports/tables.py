"""The tables of a report: plain cells, a caption, and the engine and seeds behind the numbers."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from qisguard.lab.demo.results import AuditRow, Rate, Row
from qisguard.reports import sentences
from qisguard.reports.reading import CLEAN, Budget, Reading
from qisguard.reports.words import (
    MEANINGS,
    attack,
    count,
    days,
    interval,
    number,
    percent,
    points,
    points_range,
    tag,
)

ACROSS_MAX = 2
FINDING_KEYS = ("id", "severity", "trail", "file", "summary", "evidence", "remedy")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under ``head``; the first ``text`` columns are words, the others numbers."""

    caption: str
    source: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text: int = 1


def answers(reading: Reading, survival: str) -> Table:
    """Return the clean answer by arm: the cohort's own, and what each unattacked network says."""
    report = reading.report
    rows: list[tuple[str, ...]] = [
        ("the cohort itself", arm.code, number(arm.n), _estimate(arm.estimate, arm.lo, arm.hi),
         days(arm.median))
        for arm in report.truth
    ]  # fmt: skip
    sources = []
    for engine in reading.engines:
        for network in reading.pair:
            found = reading.rows(network, CLEAN, engine)
            if not found:
                continue
            sources.append(tag(engine, [row.seed for row in found]))
            name = f"{reading.label(network)}, {engine}"
            rows += [(name, *cells) for cells in _arms(found)]
    return Table(
        f"Without an attack: {survival} at {number(report.horizon)} days by treatment. One run: "
        "with its 95\u00a0% interval; several: median over seeds, with the range.",
        "; ".join(dict.fromkeys(sources)),
        ("Source", "Treatment", "Cases", f"At {number(report.horizon)} days", "Median time"),
        rows,
        2,
    )


def _estimate(estimate: float | None, low: float | None, high: float | None) -> str:
    return percent(estimate) if estimate is None else f"{percent(estimate)} ({interval(low, high)})"


def _arms(found: Sequence[Row]) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = []
    for place, first in enumerate(found[0].arms):
        arms = [row.arms[place] for row in found if place < len(row.arms)]
        known = [arm.estimate for arm in arms if arm.estimate is not None]
        reached = [arm.median for arm in arms if arm.median is not None]
        if len(arms) == 1 or not known:
            shown = _estimate(first.estimate, first.lo, first.hi)
        else:
            shown = f"{percent(median(known))} ({interval(min(known), max(known))})"
        middle = days(median(reached)) if 2 * len(reached) > len(arms) else days(None)
        cells.append((first.code, _spread([float(arm.n) for arm in arms], number), shown, middle))
    return cells


def _spread(values: Sequence[float], say: Callable[[float], str]) -> str:
    """Return a median with its range, or the one value that all share."""
    if not values:
        return "not measured"
    if min(values) == max(values):
        return say(values[0])
    return f"{say(median(values))} ({say(min(values))} to {say(max(values))})"


def differences(reading: Reading, engine: str) -> Table:
    """Return the difference of the arms before and under the headline attack."""
    rows = []
    seeds: list[int] = []
    for network, budget in _before_and_after(reading):
        found = reading.rows(network, budget, engine)
        known = [row.difference for row in found if row.difference is not None]
        seeds += [row.seed for row in found]
        if not found:
            continue
        first = found[0]
        shown = (
            f"{points(first.difference)} ({points_range(first.lo, first.hi)})"
            if len(found) == 1
            else _spread(known, points)
        )
        decisions = Counter(row.decision for row in found)
        methods = ", ".join(dict.fromkeys(row.method for row in found))
        rows.append(
            (
                reading.label(network),
                attack(*budget),
                methods,
                "; ".join(f"{name}: {size}" for name, size in decisions.most_common()),
                shown,
            )
        )
    arms = [arm.code for arm in reading.report.truth][:2]
    less = f" ({arms[0]} less {arms[1]})" if len(arms) == 2 else ""
    return Table(
        f"Difference of the two treatments{less}, in percentage points. One run: with its "
        "95\u00a0% interval; several: median over seeds, with the range.",
        tag(engine, seeds),
        ("Network", "Attack", "Decides by", "Decisions", "Difference"),
        rows,
        4,
    )


def _before_and_after(reading: Reading) -> list[tuple[str, Budget]]:
    steps = [(network, CLEAN) for network in reading.pair]
    if reading.headline:
        steps += [(network, reading.headline) for network in reading.pair]
    return steps


def rates(reading: Reading, engine: str) -> Table:
    """Return every measured rate of one engine: steps down, and one or two networks across."""
    mine = [rate for rate in reading.report.rates if rate.engine == engine]
    networks = list(dict.fromkeys(rate.network for rate in mine))
    is_wide = len(networks) > ACROSS_MAX
    steps = list(dict.fromkeys((r.step, Budget(r.sybils, r.hospitals)) for r in mine))
    rows: list[tuple[str, ...]] = []
    for step, budget in steps:
        here = [r for r in mine if (r.step, Budget(r.sybils, r.hospitals)) == (step, budget)]
        if is_wide:
            rows += [(step, attack(*budget), reading.label(r.network), _rate(r)) for r in here]
        else:
            cells = ("; ".join(_rate(r) for r in here if r.network == name) for name in networks)
            rows.append((step, attack(*budget), *cells))
    across = ("Network", "Turned round") if is_wide else tuple(map(reading.label, networks))
    seeds = [seed for rate in mine for seed in rate.seeds]
    return Table(
        "Every step that was run: how often the answer was turned round, with the rate and its "
        "95\u00a0% Wilson interval.",
        tag(engine, seeds),
        ("Step", "The attacker has", *across),
        rows,
        3 if is_wide else 2,
    )


def _rate(rate: Rate) -> str:
    text = f"{rate.flips} of {len(rate.seeds)} \u00b7 {percent(rate.rate)} "
    text += f"({interval(rate.lo, rate.hi)})"
    return f"{text}, {rate.undecided} undecided" if rate.undecided else text


def refusals(reading: Reading) -> Table:
    """Return packets that did not count at the headline, by reason, beside an unattacked step."""
    columns = [(n, reading.headline) for n in reading.pair if reading.headline]
    columns += [(reading.defended or reading.undefended, CLEAN)]
    groups = [reading.rows(network, budget) for network, budget in columns]
    rows = []
    for stage, attribute in (("refused", "refused"), ("dropped", "dropped")):
        totals = [
            sum((Counter(getattr(row, attribute)) for row in group), Counter[str]())
            for group in groups
        ]
        reasons = sum(totals, Counter[str]())
        for reason, _ in reasons.most_common():
            means = [
                number(total[reason] / len(group)) if group else "not measured"
                for total, group in zip(totals, groups, strict=True)
            ]
            rows.append((stage, reason, _meaning(reason), *means))
    heads = (
        f"{reading.label(network)}, {attack(*budget) if budget else ''}"
        for network, budget in columns
    )
    return Table(
        "Packets that did not count, by reason: mean of each run. Refused: never reached the "
        "reader; dropped: reached the reader and was given no vote.",
        tag(reading.engine, [row.seed for group in groups for row in group]),
        ("Where", "Reason", "What it means", *heads),
        rows,
        3,
    )


def _meaning(reason: str) -> str:
    if reason.startswith("no weight: "):
        return f"the defence {reason.removeprefix('no weight: ')} gave it no weight"
    if reason.startswith("invalid packet"):
        return "the bytes are not a packet, or its signature is false"
    return MEANINGS.get(reason, "")


def warnings(reading: Reading) -> Table:
    """Return what the answers said about themselves under the headline attack."""
    rows, seeds = [], []
    for network, budget in _before_and_after(reading):
        found = reading.rows(network, budget)
        if not found:
            continue
        seeds += [row.seed for row in found]
        states = Counter(row.state for row in found)
        flags = Counter(flag.partition(":")[0] for row in found for flag in set(row.flags))
        radius = [r.flip_radius_guaranteed for r in found if r.flip_radius_guaranteed is not None]
        reached = [r.flip_radius_found for r in found if r.flip_radius_found is not None]
        rows.append(
            (
                reading.label(network),
                attack(*budget),
                "; ".join(f"{state}: {size}" for state, size in states.most_common()),
                "; ".join(f"{flag}: {size}" for flag, size in flags.most_common()) or "none",
                percent(median(radius)) if radius else "not measured",
                percent(median(reached)) if reached else "not measured",
                percent(median(row.largest_issuer_share for row in found)),
                percent(median(row.none_share for row in found)),
            )
        )
    return Table(
        "What the answers said about themselves, in number of runs; ratios are medians over seeds. "
        "Safe below: the share of poisoned weight under which the decision is guaranteed; turned "
        "at: the smallest share with which a search turned it.",
        tag(reading.engine, seeds),
        ("Network", "Attack", "State", "Flags", "Safe below", "Turned at", "Largest issuer",
         "No issuer"),
        rows,
        4,
    )  # fmt: skip


def exceptions(reading: Reading) -> Table:
    """Return every seed that went otherwise than the story: clean or at the headline."""
    rows, seeds = [], []
    for network, budget in _before_and_after(reading):
        expects_flip = network == reading.undefended and budget != CLEAN
        found = reading.rows(network, budget)
        seeds += [row.seed for row in found]
        for row in found:
            if row.is_flipped == expects_flip and not row.is_undecided:
                continue
            rows.append(
                (
                    str(row.seed),
                    reading.label(network),
                    attack(*budget),
                    _outcome(row),
                    f"{points(row.difference)} ({points_range(row.lo, row.hi)})",
                    "; ".join([row.state, *row.reasons]),
                )
            )
    return Table(
        "Every seed that went otherwise than the headline says.",
        tag(reading.engine, seeds),
        ("Seed", "Network", "Attack", "Decision", "Difference, points", "State and reasons"),
        sorted(rows, key=lambda row: int(row[0])),
        6,
    )


def _outcome(row: Row) -> str:
    if row.is_undecided:
        return "undecided"
    return f"{row.decision}: {'turned round' if row.is_flipped else 'not turned round'}"


def audited(rows: Sequence[AuditRow]) -> Table:
    """Return one line for each set of trails."""
    return Table(
        "What was audited, offline, against keys that come from outside the trails.",
        "",
        ("Trails", "Verdict", "Number", "Entries", "Signatures checked", "Exit code"),
        [
            (row.what, sentences.verdict(row), number(row.trails), number(row.entries),
             number(row.signatures), str(row.exit_code))
            for row in rows
        ],
        2,
    )  # fmt: skip


def findings(row: AuditRow) -> list[list[tuple[str, str]]]:
    """Return each finding as (field, value) pairs, the known fields first."""
    listed = []
    for finding in row.findings:
        known = [key for key in FINDING_KEYS if finding.get(key)]
        others = sorted(key for key in finding if key not in FINDING_KEYS)
        listed.append([(key, finding[key]) for key in (*known, *others)])
    return listed


def prices(reading: Reading) -> Table:
    """Return what one question costs in each unattacked network."""
    rows, sources = [], []
    for engine in reading.engines:
        for network in reading.networks:
            found = reading.rows(network, CLEAN, engine)
            if not found:
                continue
            sources.append(tag(engine, [row.seed for row in found]))
            asked = sum(row.replicas_asked for row in found)
            heard = sum(row.replicas_answered for row in found)
            rows.append(
                (
                    reading.label(network),
                    engine,
                    _spread([row.query_seconds for row in found], number),
                    _spread([float(row.query_datagrams) for row in found], number),
                    _spread([float(row.packet_count) for row in found], number),
                    f"{number(heard)} of {number(asked)}",
                )
            )
    return Table(
        "What one unattacked question costs: median over seeds, with the range. Seconds are those "
        "of the engine: real on live, simulated on virtual.",
        "; ".join(dict.fromkeys(sources)),
        ("Network", "Engine", "Seconds", "Datagrams", "Packets", "Replicas answered"),
        rows,
        2,
    )


def networks(reading: Reading) -> Table:
    """Return the size of each network and what its engine counted, over seeds."""
    groups = dict.fromkeys((told.engine, told.network) for told in reading.report.networks)
    rows = []
    for engine, network in groups:
        found = reading.network_rows(engine, network)
        names = dict.fromkeys(name for told in found for name in told.measures)
        counted = "; ".join(
            f"{name} {number(median(t.measures[name] for t in found if name in t.measures))}"
            for name in names
        )
        rows.append(
            (
                reading.label(network),
                engine,
                counted,
                _spread([float(told.nodes) for told in found], number),
                _spread([float(told.sybil_nodes) for told in found], number),
                _spread([float(told.packets_published) for told in found], number),
                _spread([float(told.acknowledged) for told in found], number),
            )
        )
    sources: dict[str, list[int]] = {}
    for told in reading.report.networks:
        sources.setdefault(told.engine, []).append(told.seed)
    return Table(
        "The networks at the end of their runs: medians over seeds, ranges where they differ. "
        "Acknowledged: packets kept, counted once for each replica.",
        "; ".join(tag(engine, seeds) for engine, seeds in sources.items()),
        ("Network", "Engine", "Counted by the engine", "Nodes", "Sybils", "Published",
         "Acknowledged"),
        rows,
        3,
    )  # fmt: skip


def digests(reading: Reading) -> Table:
    """Return the digest of each run that replays."""
    kept = [told for told in reading.report.networks if told.digest]
    return Table(
        f"Digests over every datagram and event: {count(len(kept), 'run')} that can be replayed.",
        "",
        ("Engine", "Seed", "Network", "SHA-256"),
        [(told.engine, str(told.seed), told.network, told.digest) for told in kept],
        4,
    )
