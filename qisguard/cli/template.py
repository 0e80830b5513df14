"""``qisguard template``: check a template, explain it, compute a case's key, make a secret."""

import os
from pathlib import Path
from typing import Annotated

import typer

from qisguard.cli.words import echo_json, table

app = typer.Typer(
    help="Check, explain and try definitions of similar cases.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Template = Annotated[str, typer.Argument(metavar="T", help="Packaged template, or a path.")]
Pairs = Annotated[
    list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="What is known of a case.")
]
Node = Annotated[
    Path | None, typer.Option(metavar="CONFIG", help="Use the network and secret of this node.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 when there is a warning.")]
Cases = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Count who would be alone in this file of cases."),
]
Secret = Annotated[Path, typer.Argument(metavar="FILE", help="File to make; must not exist.")]
Of = Annotated[
    Path, typer.Option("--node", metavar="CONFIG", help="A node of the network it is for.")
]


@app.command()
def check(
    template: Template, cases: Cases = None, strict: Strict = False, as_json: AsJson = False
) -> None:
    """Tell everything that is wrong or unwise about a template.

    Exits 0 when it can be used, 1 with --strict and a warning, 2 when it cannot be used.
    """
    from dataclasses import asdict

    from qisguard.service.templates import check_template

    found = check_template(template, Path(), cases)
    end = found.end(strict)
    if as_json:
        body = {"schema": "qisguard.template-check/v1", **asdict(found), "exit": int(end)}
        echo_json(body)
        raise typer.Exit(end)
    for fault in found.faults:
        typer.echo(f"fault: {fault}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}")
    if found.lines is not None:
        typer.echo(f"{cases}: {found.lines} lines fit, {found.left_out} do not")
    name = found.template or template
    verdict = "cannot be used" if found.faults else "can be used"
    counts = f"{len(found.faults)} faults, {len(found.warnings)} warnings"
    typer.echo(f"{name} {verdict}: {counts}")
    raise typer.Exit(end)


@app.command()
def key(
    template: Template, pairs: Pairs = None, node: Node = None, as_json: AsJson = False
) -> None:
    """Print the similarity key of a case, the same on every machine.

    Of a keyed template with --node CONFIG, whose network's secret it takes.
    """
    from qisguard.errors import ScenarioError
    from qisguard.identity.keys import to_text
    from qisguard.service.asking import read_pairs
    from qisguard.service.config import load_config
    from qisguard.service.identities import secret_check
    from qisguard.service.keying import secret_of
    from qisguard.service.opening import (
        open_named_template,
        open_network_file,
        open_roster_file,
    )

    opened = open_named_template(template, Path())
    labels = opened.labels(read_pairs(opened, pairs or ()))
    secret, check_of = None, None
    if node is not None:
        config = load_config(node, os.environ, is_run=False)
        network = open_network_file(config)
        secret = secret_of(opened, config, network, open_roster_file(config, network))
        check_of = secret_check(secret, network.id).hex() if secret else None
    elif opened.keyed:
        raise ScenarioError(f"template {opened.id} is keyed: say --node CONFIG, for its secret")
    made = opened.hash(labels, secret)
    names = [field.name for field in opened.fields]
    if as_json:
        body = {
            "schema": "qisguard.template-key/v1",
            "template": opened.id,
            "labels": dict(zip(names, labels, strict=True)),
            "keyed": secret is not None,
            "secret_check": check_of,
            "key": to_text(made),
            "hex": made.hex(),
        }
        echo_json(body)
        return
    how = f"with the secret of check {check_of}" if secret else "without a secret"
    rows = [["template", opened.id], *map(list, zip(names, labels, strict=True))]
    typer.echo(table([*rows, ["keyed", how], ["key", to_text(made)], ["hex", made.hex()]]))


@app.command()
def explain(template: Template, pairs: Pairs = None, as_json: AsJson = False) -> None:
    """Say what similar means, how many keys there are, and what a packet may say."""
    from qisguard.service.asking import read_pairs
    from qisguard.service.opening import open_lineage
    from qisguard.service.templates import explain as rows_of

    lineage = open_lineage(template, Path())
    rows = rows_of(lineage, read_pairs(lineage.template, pairs or ()))
    if as_json:
        body = {"schema": "qisguard.template-explain/v1", "rows": rows}
        echo_json(body)
    else:
        typer.echo(table([list(row) for row in rows]))


@app.command()
def secret(file: Secret, node: Of) -> None:
    """Make the secret of a network's keyed templates, once; every member gets a copy.

    The file has mode 0600. What is printed is a check that members compare; it tells nothing.
    """
    from qisguard.service.config import load_config
    from qisguard.service.identities import create_secret, secret_check
    from qisguard.service.opening import open_network_file

    network = open_network_file(load_config(node, os.environ, is_run=False))
    made = create_secret(file, network.id)
    typer.echo(
        table([["secret", str(file)], ["check", secret_check(made, network.id).hex()]])
        + f'\nset node.similarity_secret = "{file}" at every member; whoever has the file can '
        "read what every query asks"
    )
