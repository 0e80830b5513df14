"""The demo: the packaged scenario on both engines, audited, as one result folder.

``results.jsonl`` has a row for each answer, ``trails/`` the audit trail of every node of the live
defended network, ``policy/`` what an auditor trusts, ``damaged/`` a copy of one trail with one
byte flipped, ``report.json`` everything together.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qisguard.attacks import ATTACKS
from qisguard.audit.auditor import AuditReport, audit, verdict
from qisguard.audit.policy import load_policy, write_policy
from qisguard.defenses import DEFENSES
from qisguard.errors import ScenarioError
from qisguard.identity.network import seal_network
from qisguard.identity.roster import seal_roster
from qisguard.lab.demo import results
from qisguard.lab.demo.cohort import SYNTHETIC, load_cohort
from qisguard.lab.demo.members import Members
from qisguard.lab.demo.results import AuditRow, Rate, Report, Row
from qisguard.lab.demo.rows import arm_row
from qisguard.lab.demo.runs import Job, Outcome, answer_to_all
from qisguard.lab.demo.scenario import Loaded, load_scenario, packaged
from qisguard.lab.demo.workers import run_jobs
from qisguard.lab.journal.lines import Kind
from qisguard.lab.journal.writing import Journal, begin
from qisguard.lab.live import LiveEngine
from qisguard.lab.provenance import machine, versions
from qisguard.lab.statistics import wilson
from qisguard.lab.virtual import VirtualEngine
from qisguard.plugins import Card
from qisguard.trail.checkpoint import LogKey, origin_of

MARK = "results.jsonl"
"""Written first and deleted last, so that a folder of an interrupted demo is known as one."""
PARTS = ("trails", "policy", "damaged", "report.json", "report.html", MARK)
HEADLINE = "headline"
LIBRARIES = ("pynacl", "msgspec", "numpy", "scipy", "lifelines")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The report, its bytes, and the folder that it lies in."""

    report: Report
    encoded: bytes
    folder: Path

    @property
    def holds(self) -> bool:
        """Return whether the honest trails are clean and the damaged copy was caught."""
        return [audit.exit_code for audit in self.report.audits] == [0, 1]

    def save(self, name: str, data: bytes) -> None:
        """Write a file into the folder."""
        (self.folder / name).write_bytes(data)


def run_demo(
    seed: int, out: Path, is_quick: bool, progress: Callable[[str, int, int], None]
) -> DemoResult:
    """Run the packaged demo into ``out``; raise ScenarioError when that is somebody else's folder.

    Args:
        seed: of the live run; the virtual ones take this and the following seeds.
        out: made when missing; an earlier demo in it is replaced.
        is_quick: fewer virtual seeds.
        progress: called with what ended, how many jobs have, and how many there are.
    """
    with begin() as journal, journal.noted(Kind.RESULTS, out.resolve()):
        return _run(seed, out, is_quick, progress, journal)


def _run(
    seed: int,
    out: Path,
    is_quick: bool,
    progress: Callable[[str, int, int], None],
    journal: Journal,
) -> DemoResult:
    started = time.perf_counter()
    data = packaged("demo.toml")
    loaded = load_scenario(data)
    _prepare(out)
    seeds = loaded.scenario.seeds
    count = seeds.quick if is_quick else seeds.virtual
    jobs = [Job(data, LiveEngine.name, seed + i, out) for i in range(seeds.live)]
    jobs += [Job(data, VirtualEngine.name, seed + i) for i in range(count)]
    progress("starting", 0, len(jobs))
    outcomes = run_jobs(
        jobs,
        lambda job, done, total: progress(f"{job.engine} seed {job.seed}", done, total),
        journal=journal,
    )
    rows = [row for outcome in outcomes for told in outcome.told for row in told.rows]
    (out / MARK).write_bytes(results.lines(rows))
    live = outcomes[0]
    audits = _audit(out, live.members) if live.members else []
    report = _report(loaded, data, seed, is_quick, outcomes, rows, audits, started)
    encoded = results.encode(report)
    (out / "report.json").write_bytes(encoded)
    return DemoResult(report, encoded, out)


def _prepare(out: Path) -> None:
    """Make ``out`` empty of an earlier demo; never delete what this module did not write."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in out.iterdir())
        strangers = [name for name in found if name not in PARTS or MARK not in found]
        if strangers:
            raise ScenarioError(
                f"--out {out}: holds {strangers[0]!r}, which is not from a demo; "
                "name another folder"
            )
        for path in (out / name for name in PARTS):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise ScenarioError(f"--out {out}: {error.strerror}; name another folder") from None


def rates(rows: Sequence[Row]) -> list[Rate]:
    """Return flip rates by engine, network and step, in the order of the rows."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.engine, row.network, row.step), []).append(row)
    found = []
    for (engine, network, step), group in groups.items():
        flips = sum(row.is_flipped for row in group)
        interval = wilson(flips, len(group))
        found.append(
            Rate(
                engine=engine,
                network=network,
                step=step,
                sybils=group[0].sybils,
                hospitals=group[0].hospitals,
                seeds=[row.seed for row in group],
                flips=flips,
                undecided=sum(row.is_undecided for row in group),
                rate=flips / len(group),
                lo=interval.low,
                hi=interval.high,
            )
        )
    return found


def _audit(out: Path, members: Members) -> list[AuditRow]:
    """Audit every trail under the policy, then a copy of one with a single byte flipped."""
    keys = [
        LogKey(origin_of(members.network.id, identity.id), identity.log.public)
        for hospital in members.hospitals
        for identity in hospital.identities
    ]
    write_policy(
        out / "policy",
        logs=keys,
        authority=members.authority.public,
        network=seal_network(members.network, members.authority),
        roster=seal_roster(members.roster, members.authority),
    )
    policy = load_policy(out / "policy")
    trails = sorted((out / "trails").iterdir())
    rows = [_audit_row(out, "every trail of the defended live network", audit(trails, policy))]
    damaged = out / "damaged" / trails[0].name
    shutil.copytree(trails[0], damaged)
    target = max(
        (p for p in damaged.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p)
    )
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    what = f"a copy with bit 0 of byte {len(data) // 2} of {target.relative_to(damaged)} flipped"
    rows.append(_audit_row(out, what, audit([damaged], policy)))
    return rows


def _audit_row(out: Path, what: str, audited: AuditReport) -> AuditRow:
    return AuditRow(
        what=what,
        trails=len(audited.trails),
        entries=sum(trail.size or 0 for trail in audited.trails),
        signatures=sum(trail.signatures_checked for trail in audited.trails),
        exit_code=int(verdict(audited)),
        findings=[
            {
                "id": f.id,
                "trail": os.path.relpath(f.trail, out),
                "file": f.file,
                "summary": f.summary,
            }
            for f in audited.findings
        ],
    )


def _report(
    loaded: Loaded,
    data: bytes,
    seed: int,
    is_quick: bool,
    outcomes: Sequence[Outcome],
    rows: list[Row],
    audits: list[AuditRow],
    started: float,
) -> Report:
    scenario = loaded.scenario
    cohort = load_cohort()
    truth = answer_to_all(loaded, cohort)
    told = [told for outcome in outcomes for told in outcome.told]
    live = outcomes[0].told
    mined = loaded.sybils_max + scenario.network.issuers * scenario.network.nodes_per_issuer
    used = {name for run in scenario.networks for name in run.defenses}
    return Report(
        format=1,
        title=scenario.title,
        scenario=scenario.name,
        scenario_digest=loaded.digest,
        command=f"qisguard demo --seed {seed}" + (" --quick" if is_quick else ""),
        seed=seed,
        is_quick=is_quick,
        versions=versions(LIBRARIES),
        machine=machine(),
        clock_rate=scenario.clock.rate,
        puzzle_bits=(scenario.network.static_puzzle_bits, scenario.network.dynamic_puzzle_bits),
        identities_mined=mined,
        seconds_per_identity=outcomes[0].mining_seconds / mined,
        cohort=cohort.label,
        cohort_is_synthetic=cohort.label == SYNTHETIC,
        patients=len(cohort),
        question=scenario.question.text,
        estimand=truth.estimand,
        horizon=scenario.question.horizon,
        headline=HEADLINE,
        truth=[arm_row(arm) for arm in truth.arms],
        rows=rows,
        rates=rates(rows),
        curves=[curve for part in live for curve in part.curves],
        weights=[weight for part in live for weight in part.weights],
        networks=[part.network for part in told if part.network],
        audits=audits,
        defenses=[_card(name) for name in sorted(used)],
        attacks=[_card(name) for name in scenario.attacks],
        seconds=time.perf_counter() - started,
    )


def _card(name: str) -> dict[str, str]:
    card: Card = (DEFENSES.get(name) or ATTACKS[name]).card
    return asdict(card)
