"""What happened, in sentences that a board reads and a terminal prints: every number with interval.

The words are chosen by the counts, so that a defence that failed is called one that failed.
"""

from statistics import median

from qisguard.lab.demo.results import AuditRow, Rate
from qisguard.reports.reading import CLEAN, Budget, Reading
from qisguard.reports.words import attack, count, interval, percent, points, points_range

KINDS = {"sybils": "Sybils", "hospitals": "compromised hospitals", "both": "both attacks together"}
VERDICTS = {
    0: "every required check was done and holds",
    1: "finding",
    2: "could not be configured",
    3: "nothing false found, but something required could not be checked",
    70: "the auditor itself failed",
}


def runs(rate: Rate) -> str:
    """Return how many runs were turned round, of how many, on one line."""
    return f"{rate.flips} of {len(rate.seeds)}".replace(" ", "\u00a0")


def tally(rate: Rate | None) -> str:
    """Return ``3 of 20 (15.0 %, 5.2-36.0 %)``: flips, runs, rate and its 95 % interval."""
    if rate is None:
        return "not measured"
    text = f"{runs(rate)} ({percent(rate.rate)}, {interval(rate.lo, rate.hi)})"
    return f"{text}, {rate.undecided}\u00a0undecided" if rate.undecided else text


def _inside(reading: Reading, network: str) -> str:
    """Return a network as the end of a clause."""
    label = reading.label(network)
    return f"{label[0].lower()}{label[1:]}" if label != network else f"in the network {network}"


def headline(reading: Reading) -> str:
    """Return the report in one sentence: the one it brings, or one made from the measured rates."""
    told = reading.report.headline
    if " " in told.strip() and all(rate.step != told for rate in reading.report.rates):
        return told
    if reading.headline is None:
        return "No attack was measured."
    parts: list[str] = []
    for network in reading.pair:
        rate = reading.rate(network, reading.headline)
        if rate is not None:
            runs = f"{rate.flips} of {len(rate.seeds)}" + (" runs" if not parts else "")
            left = f" ({rate.undecided} more undecided)" if rate.undecided else ""
            parts.append(f"in {runs} {_inside(reading, network)}{left}")
    if not parts:
        return "The headline step was not measured."
    return f"{_explained(reading.headline)} turned the answer round {', and '.join(parts)}."


def _explained(budget: Budget) -> str:
    """Return a budget for a reader who has not met the word Sybil yet."""
    if not budget.sybils:
        return attack(*budget)
    invented = count(budget.sybils, "invented identity", "invented identities") + " (Sybils)"
    return f"{invented} and {attack(0, budget.hospitals)}" if budget.hospitals else invented


def weakest(reading: Reading) -> str:
    """Return what a board must know beside the headline: where the defences fail, if they do."""
    network = reading.defended
    found = [(kind, limit) for kind in KINDS if (limit := reading.limit(network, kind))]
    told = []
    for _, limit in found:
        if limit.broken and limit.first:
            text = (
                f"The defences fail at {_budget(limit.broken)}: turned round in "
                f"{tally(limit.broken)}."
            )
            if limit.first is not limit.broken:
                text += f" They begin to give way at {_budget(limit.first)}: {tally(limit.first)}."
            told.append(text)
    return " ".join(told[:2] or [limits(reading, network, kind) for kind, _ in found[:2]])


def agreement(reading: Reading) -> str:
    """Return whether the network, unattacked, says what the cohort itself says."""
    if reading.truth is None:
        return "The cohort's own answer is not part of this report."
    parts = []
    for network in reading.pair:
        rate = reading.rate(network, CLEAN)
        if rate:
            right = len(rate.seeds) - rate.flips - rate.undecided
            parts.append(f"{right} of {len(rate.seeds)} runs {_inside(reading, network)}")
    if not parts:
        return f"The cohort itself says {reading.truth}; no run without an attack was measured."
    return (
        f"The cohort itself, without any network, says {reading.truth}. Unattacked, the network "
        f"says the same in {' and in '.join(parts)}."
    )


def paired(reading: Reading) -> str:
    """Return how much less often the defended answer flips at the headline, seed by seed."""
    from qisguard.lab.statistics import paired_difference  # numpy loads when it is used

    if reading.headline is None or len(reading.pair) < 2:
        return ""
    kept = [
        {row.seed: row.is_flipped for row in reading.rows(network, reading.headline)}
        for network in (reading.undefended, reading.defended)
    ]
    seeds = sorted(kept[0].keys() & kept[1].keys())
    if not seeds:
        return ""
    found = paired_difference([kept[0][s] for s in seeds], [kept[1][s] for s in seeds])
    return (
        f"Share turned round without defences less that with them, paired over the same "
        f"{count(len(seeds), 'seed')}: {points(found.estimate)} percentage points "
        f"({points_range(found.low, found.high)})."
    )


def limits(reading: Reading, network: str, kind: str) -> str:
    """Return where a network gives way to one kind of attack, or up to where it did not."""
    found = reading.limit(network, kind)
    name = reading.label(network)
    if found is None:
        return f"{name}: {KINDS[kind]} were not tried."
    first, broken, last = found.first, found.broken, found.last
    is_one = all(
        _budget(rate) in ("no attack", _budget(last)) for rate in reading.sweep(network, kind)
    )
    tried = "at the one budget tried," if is_one else "at every budget tried, up to"
    if first is None:
        text = (
            f"{name}, the answer held {tried} {_budget(last)}: turned round in {tally(last)}. "
            f"The true rate there may still be up to {percent(last.hi)}."
        )
    elif broken is None and first is last:
        text = f"{name}, at the most that was tried, {_budget(last)}, it turns in {tally(last)}."
    elif broken is None:
        text = (
            f"{name}, the answer first turns at {_budget(first)}, in {tally(first)}; at the most "
            f"that was tried, {_budget(last)}, in {tally(last)}."
        )
    else:
        fails = "The defences fail" if network == "defended" else f"{name}, the answer falls"
        text = f"{fails} at {_budget(broken)}: turned round in {tally(broken)}."
        if first is not broken:
            text += f" The first flip is at {_budget(first)}: {tally(first)}."
        if held := [r for r in reading.sweep(network, kind) if 0 < _order(r) < _order(first)]:
            text += f" It held up to {_budget(held[-1])}: {tally(held[-1])}."
    clean = reading.rate(network, CLEAN)
    if clean and clean.flips:
        text += f" Without any attack it is {tally(clean)} already."
    if found.undecided and not found.undecided.flips:
        text += f" At {_budget(found.undecided)} some runs end without a decision."
    return text


def _order(rate: Rate) -> int:
    return rate.sybils + rate.hospitals


def _budget(rate: Rate) -> str:
    return attack(rate.sybils, rate.hospitals)


def one_hospital(reading: Reading) -> str:
    """Return what a single compromised hospital does to each network."""
    parts = [
        f"{reading.label(network)}: {tally(rate)}"
        for network in reading.pair
        if (rate := reading.rate(network, Budget(0, 1)))
    ]
    return "; ".join(parts) or "not measured"


def recovery(reading: Reading) -> str:
    """Return whether the answer is right again after hospitals recovered; empty if not tried."""
    parts = [
        f"{_inside(reading, network)} in {tally(rate)}"
        for network in reading.pair
        if (rate := reading.recovered(network))
    ]
    if not parts:
        return ""
    return (
        "After the compromised hospitals recovered and published corrections, the answer stayed "
        f"turned round {'; '.join(parts)}."
    )


def difference(reading: Reading, network: str, budget: Budget | None) -> str:
    """Return the difference of the arms over seeds: median and range, in percentage points."""
    found = [r.difference for r in reading.rows(network, budget) if r.difference is not None]
    if not found:
        return "not measured"
    if min(found) == max(found):
        return points(found[0])
    return f"{points(median(found))} ({points_range(min(found), max(found))})"


def other_engine(reading: Reading, engine: str) -> str:
    """Return whether another engine tells the same story, step by step."""
    same, differ = 0, []
    for rate in reading.report.rates:
        if rate.engine != engine:
            continue
        twin = next(
            (
                r
                for r in reading.report.rates
                if (r.engine, r.network, r.step) == (reading.engine, rate.network, rate.step)
            ),
            None,
        )
        if twin is None:
            continue
        if (2 * rate.flips >= len(rate.seeds)) == (2 * twin.flips >= len(twin.seeds)):
            same += 1
        else:
            differ.append(f"{rate.step} {_inside(reading, rate.network)}")
    if not same and not differ:
        return f"No step of the {engine} engine was also run on {reading.engine}."
    told = [
        f"{_inside(reading, network)} in {tally(found)}"
        for network in reading.pair
        if (found := reading.rate(network, reading.headline, engine))
    ]
    text = f"At the headline, turned round {' and '.join(told)}. " if told else ""
    text += (
        f"In {same} of {same + len(differ)} pairs of network and step, {engine} and "
        f"{reading.engine} agree on whether half of the runs or more were turned round."
    )
    return f"{text} It differs at: {'; '.join(differ)}." if differ else text


def audits(rows: list[AuditRow]) -> str:
    """Return the audit in one sentence."""
    if not rows:
        return "No trail was audited."
    parts = [f"{row.what}: {verdict(row)}" for row in rows]
    return "; ".join(parts) + "."


def verdict(row: AuditRow) -> str:
    """Return what an exit code says, with the number of findings."""
    if row.exit_code == 1 or row.findings:
        return count(len(row.findings), "finding")
    return VERDICTS.get(row.exit_code, f"exit code {row.exit_code}")
