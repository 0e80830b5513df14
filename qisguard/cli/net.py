"""``qisguard net``: a local network of real nodes, up, looked at, and down."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:
    from qisguard.service.localnet import Spec
    from qisguard.service.updown import NodeRow

app = typer.Typer(
    help="A local network of real nodes on loopback: up, status, down.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DEFAULT_DIR = Path("qisguard-net")

Dir = Annotated[Path, typer.Option("--dir", help="Folder of the network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Nodes = Annotated[int | None, typer.Option(help="Nodes; 5 unless given.")]
Processes = Annotated[int | None, typer.Option(help="Processes that share the nodes; 1.")]
Issuers = Annotated[int | None, typer.Option(help="Organisations; one for each node, at most 20.")]
Defended = Annotated[
    bool | None,
    typer.Option(
        "--defended/--open", help="Run every defence, as a permissioned network; or none."
    ),
]
Bits = Annotated[int | None, typer.Option(help="Difficulty of both puzzles, in bits; 8.")]
Metrics = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="Serve metrics on loopback: PORT, PORT+1, ... by process."),
]


@app.command("up")
def up(
    folder: Dir = DEFAULT_DIR,
    nodes: Nodes = None,
    processes: Processes = None,
    issuers: Issuers = None,
    defended: Defended = None,
    puzzle_bits: Bits = None,
    metrics: Metrics = None,
    as_json: AsJson = False,
) -> None:
    """Start a local network, made first if need be; it goes on when the command ends."""
    from qisguard.cli.progress import Progress
    from qisguard.errors import ServiceError
    from qisguard.service.localnet import SPEC, LocalNet, Spec, create_net
    from qisguard.service.updown import bring_up, look

    given = {
        "nodes": nodes,
        "processes": processes,
        "issuers": issuers,
        "defended": defended,
        "puzzle_bits": puzzle_bits,
        "metrics": metrics,
    }
    given = {name: value for name, value in given.items() if value is not None}
    with Progress("net up") as progress:
        if (folder / SPEC).exists():
            net = LocalNet(folder)
            _check_same(net.spec, given, folder)
        else:
            count = nodes or Spec().nodes
            spec = Spec(**{"nodes": count, "issuers": max(1, min(count, 20)), **given})  # type: ignore[arg-type] # by name
            net = create_net(folder, spec, progress.update)
        try:
            seconds = bring_up(net, progress.update)
        except ServiceError as error:
            typer.echo(f"{error.code} {error}", err=True)
            raise typer.Exit(Exit.NOT_MEASURED) from None
    rows = look(net)
    if as_json:
        echo_json({**_as_json(folder, rows), "seconds": round(seconds, 3)})
        return
    typer.echo(_as_text(rows))
    typer.echo(f"\n{net.spec.nodes} nodes joined in {seconds:.1f} s. Next:")
    author = next(iter(sorted((folder / "authors").iterdir())))
    for command in (
        f"qisguard net status --dir {folder}",
        f"qisguard publish FILE --template breast-cancer --author {author} --net {folder}",
        f"qisguard query --template breast-cancer grade=II --net {folder}",
        f"qisguard net down --dir {folder}",
    ):
        typer.echo(f"  {command}")
    if net.spec.metrics:
        typer.echo(f"  curl http://127.0.0.1:{net.spec.metrics}/metrics")


def _check_same(spec: "Spec", given: dict[str, int | bool | None], folder: Path) -> None:
    """Raise ScenarioError when the folder was made with other numbers than are asked for."""
    from qisguard.errors import ScenarioError

    for name, value in given.items():
        held = getattr(spec, name)
        if value != held:
            raise ScenarioError(
                f"--{name.replace('_', '-')} = {value}: the network in {folder} was made with "
                f"{held}; leave it away to start that one again, or name another --dir"
            )


@app.command("status")
def status(folder: Dir = DEFAULT_DIR, as_json: AsJson = False) -> None:
    """Show how every node is; exit 3 unless all are up."""
    from qisguard.service.localnet import LocalNet
    from qisguard.service.updown import look

    rows = look(LocalNet(folder))
    if as_json:
        echo_json(_as_json(folder, rows))
    else:
        typer.echo(_as_text(rows))
    raise typer.Exit(Exit.CLEAN if all(row.state == "up" for row in rows) else Exit.NOT_MEASURED)


@app.command("down")
def down(folder: Dir = DEFAULT_DIR) -> None:
    """End the processes that ``net up`` started, and no other; exit 3 if one does not end."""
    from qisguard.service.localnet import LocalNet
    from qisguard.service.updown import take_down

    ended, left = take_down(LocalNet(folder))
    typer.echo(f"{len(ended)} processes ended" if ended or left else "nothing was running")
    for process in left:
        typer.echo(f"process {process.pid} has not ended; its log: {process.log}", err=True)
    raise typer.Exit(Exit.NOT_MEASURED if left else Exit.CLEAN)


def _as_text(rows: "list[NodeRow]") -> str:
    cells = [
        [
            row.name,
            row.state,
            str(row.pid or "-"),
            str(row.told.get("address", "-")),
            str(row.told.get("contacts", "-")),
            f"{row.told['uptime']:.0f} s" if "uptime" in row.told else "-",
        ]
        for row in rows
    ]
    return table(cells, ("node", "state", "process", "address", "contacts", "up for"))


def _as_json(folder: Path, rows: "list[NodeRow]") -> dict[str, object]:
    nodes = [
        {"name": r.name, "state": r.state, "process": r.process, "pid": r.pid, **_short(r)}
        for r in rows
    ]
    return {
        "schema": "qisguard.net-status/v1",
        "folder": str(folder),
        "all_up": all(row.state == "up" for row in rows),
        "nodes": nodes,
    }


def _short(row: "NodeRow") -> dict[str, object]:
    wanted = ("id", "address", "uptime", "contacts", "siblings", "sessions", "store", "trail")
    return {name: row.told[name] for name in (*wanted, "fault") if name in row.told}
