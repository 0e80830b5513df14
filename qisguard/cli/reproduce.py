"""``qisguard attack reproduce``: a result of the literature, measured again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:
    from qisguard.lab.reproductions.findings import Findings


def reproduce(
    name: Annotated[str, typer.Argument(help="Which one; 'list' names them.")] = "list",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for page, data and plots.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer samples, for a first look.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a published result again; exit 1 when a number differs from what was published."""
    from qisguard.cli.progress import Progress
    from qisguard.lab.reproductions import REPRODUCTIONS
    from qisguard.lab.reproductions import reproduce as run

    if name == "list":
        typer.echo(table([[key, about] for key, about in REPRODUCTIONS.items()]))
        return
    with Progress(f"reproduce {name}") as progress:
        findings = run(name, progress.update, quick=quick)
    if out is not None:
        _save(out, findings)
    differs = [claim for claim in findings.claims if not claim.agrees]
    end = Exit.FINDING if differs else Exit.CLEAN
    if as_json:
        import msgspec

        told = msgspec.to_builtins(findings)
        told.update(schema="qisguard.reproduction/v1", exit=int(end), plots=len(findings.plots))
        for claim, entry in zip(findings.claims, told["claims"], strict=True):
            entry["agrees"] = claim.agrees
        echo_json(told)
        raise typer.Exit(end)
    typer.echo(findings.title)
    rows = [
        [
            claim.name,
            claim.published,
            f"{claim.measured:.4g} ({claim.interval[0]:.4g}-{claim.interval[1]:.4g})",
            "agrees" if claim.agrees else "differs",
        ]
        for claim in findings.claims
    ]
    typer.echo(table(rows, ["", "published", "measured (95 %)", ""]))
    typer.echo(f"engine: {findings.engine}; seeds: {findings.seeds}; {findings.seconds:.0f} s")
    if out is not None:
        typer.echo(f"written: {out / (findings.name + '.md')}")
    raise typer.Exit(end)


def _save(out: Path, findings: "Findings") -> None:
    import msgspec

    from qisguard.errors import ScenarioError
    from qisguard.lab.reproductions.findings import page

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{findings.name}.md").write_text(page(findings))
        data = msgspec.structs.replace(findings, plots=[])
        encoded = msgspec.json.format(msgspec.json.encode(data), indent=1)
        (out / f"{findings.name}.json").write_bytes(encoded + b"\n")
        for plot in findings.plots:
            (out / f"{findings.name}-{plot.name}.svg").write_text(plot.svg)
    except OSError as error:
        raise ScenarioError(f"--out {out}: {error.strerror}") from None
