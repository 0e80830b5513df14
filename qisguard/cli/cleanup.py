"""``qisguard attack cleanup``: removes what runs that were killed have left behind."""

from typing import Annotated

import typer

from qisguard.cli.words import echo_json, table


def cleanup(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; touch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Remove what runs that are no longer alive left behind: folders, processes, leases, drafts.

    Only what is written in the journal and proves to be that is touched; results stay. Exits 1 when
    something stays that should not (or with --dry-run would be removed), 3 when a line of a
    journal could not be read, otherwise 0.
    """
    import os

    from qisguard.lab.journal.cleanup import cleanup as run
    from qisguard.lab.journal.writing import journal_folder

    folder = journal_folder(os.environ)
    cleaned = run(folder, dry_run)
    end = cleaned.exit
    if as_json:
        echo_json(
            {
                "schema": "qisguard.cleanup/v1",
                "journals": str(folder),
                "dry_run": dry_run,
                "found": [
                    {
                        "journal": str(one.journal),
                        "run": one.made.run,
                        "kind": str(one.made.kind),
                        "name": one.made.name,
                        "verdict": str(one.verdict),
                        "why": one.why,
                    }
                    for one in cleaned.found
                ],
                "damaged": [
                    {"journal": str(one.journal), "line": one.line, "why": one.why}
                    for one in cleaned.damage
                ],
                "exit": int(end),
            }
        )
        raise typer.Exit(end)
    for damage in cleaned.damage:
        typer.echo(f"damaged, skipped: {damage.journal} line {damage.line}: {damage.why}", err=True)
    if cleaned.found:
        rows = [[one.verdict, one.made.kind, one.made.name, one.why] for one in cleaned.found]
        typer.echo(table(rows, ["", "kind", "name", ""]))
    else:
        typer.echo("nothing is left")
    typer.echo(f"journals: {folder} (exit {end})")
    raise typer.Exit(end)
