"""``qisguard attack probe``: malformed datagrams at one running node, and is it still there?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:
    from qisguard.identity.scope import Scope
    from qisguard.lab.probe import Probed


def probe(
    target: Annotated[str, typer.Argument(metavar="ID@HOST:PORT", help="The node, as bootstraps.")],
    rate: Annotated[int, typer.Option(help="Bad datagrams a second.")] = 1_000,
    seconds: Annotated[float, typer.Option(help="For how long.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Which datagrams.")] = 1,
    scope: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Signed scope, beyond this machine.")
    ] = None,
    network: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Network file of the scope.")
    ] = None,
    authority: Annotated[
        str, typer.Option(metavar="KEY", help="Public key of the authority.")
    ] = "",
    home: Annotated[
        str, typer.Option("--from", metavar="IP", help="Address of this machine to speak from.")
    ] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send malformed datagrams to one running node and measure what comes back.

    Exit 1 when the node answers less afterwards, or sends more bytes than it was sent; 3 when it
    did not answer to begin with; 4 when the address is out of scope. Only loopback is allowed
    without a scope that the target consented to.
    """
    from qisguard.cli.progress import Progress
    from qisguard.errors import ScopeError
    from qisguard.lab.probe import probe as run
    from qisguard.service.addresses import parse_bootstrap

    contact = parse_bootstrap(target, "ID@HOST:PORT")
    try:
        with Progress("attack probe", counted=False) as progress:
            progress.say(f"{rate} bad datagrams a second for {seconds:g} s, and 4 s around them")
            probed = run(
                contact,
                rate=rate,
                seconds=seconds,
                seed=seed,
                scope=_scope(scope, network, authority),
                home=home,
            )
    except ScopeError as error:
        typer.echo(f"{error.code} {error}\ntry: qisguard scope --help", err=True)
        raise typer.Exit(Exit.REFUSED) from None
    end = _verdict(probed)
    if as_json:
        echo_json(
            {
                "schema": "qisguard.probe/v1",
                "target": target,
                "seed": seed,
                "bad_datagrams": probed.bad_datagrams,
                "bad_bytes": probed.bad_bytes,
                "answers": probed.answers,
                "answer_bytes": probed.answer_bytes,
                "amplification": probed.amplification,
                "phases": [
                    {
                        "name": phase.name,
                        "heartbeats": phase.sent,
                        "answered": phase.answered,
                        "latency_p50_seconds": phase.latency_p50,
                    }
                    for phase in probed.phases
                ],
                "exit": int(end),
            }
        )
        raise typer.Exit(end)
    rows = [
        [phase.name, f"{phase.answered} of {phase.sent}", _milliseconds(phase.latency_p50)]
        for phase in probed.phases
    ]
    typer.echo(table(rows, ["phase", "heartbeats answered", "median"]))
    typer.echo(
        f"{probed.bad_datagrams} bad datagrams ({probed.bad_bytes} bytes): {probed.answers} "
        f"answers ({probed.answer_bytes} bytes), {probed.amplification:.3f} bytes for each byte"
    )
    typer.echo({Exit.CLEAN: "clean", Exit.FINDING: "finding"}.get(end, "not measured"))
    raise typer.Exit(end)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.1f} ms"


def _verdict(probed: "Probed") -> Exit:
    if not probed.phases[0].answered:
        return Exit.NOT_MEASURED
    if not probed.is_alive or probed.amplification > 1:
        return Exit.FINDING
    return Exit.CLEAN


def _scope(scope: Path | None, network: Path | None, authority: str) -> "Scope | None":
    from qisguard.cli.scope import open_signed
    from qisguard.errors import ScenarioError

    if scope is None:
        return None
    if network is None or not authority:
        raise ScenarioError("--scope: needs --network and --authority beside it")
    return open_signed(scope, network, authority)
