"""``qisguard query``: an answer about similar cases, made here from what the network gives."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qisguard.cli.words import echo_json, table
from qisguard.exits import Exit

if TYPE_CHECKING:
    from qisguard.outcomes.answer import Answer
    from qisguard.service.asking import Reply, VersionRead

Pairs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FIELD=VALUE]...", help="What is known of the case; the rest is open."),
]
TemplateName = Annotated[
    str, typer.Option("--template", metavar="T", help="Packaged template, or a path.")
]
Node = Annotated[Path | None, typer.Option(metavar="CONFIG", help="Go through this node.")]
Net = Annotated[Path | None, typer.Option(metavar="DIR", help="Go through a node of a local net.")]
Arms = Annotated[str, typer.Option(metavar="A,B", help="Two treatments; the template's first two.")]
Horizon = Annotated[
    int | None, typer.Option(metavar="DAYS", help="When survival is compared; the template's.")
]
Feared = Annotated[
    float | None,
    typer.Option(
        "--reckon-with",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="Share of poison that an 'ok' must survive; 0.2 unless given.",
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Show each step to the answer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def query(
    template: TemplateName,
    pairs: Pairs = None,
    node: Node = None,
    net: Net = None,
    arms: Arms = "",
    horizon: Horizon = None,
    reckon_with: Feared = None,
    explain: Explain = False,
    as_json: AsJson = False,
) -> None:
    """Compare two treatments among similar cases, by the roster and the defences of a node.

    Exits 0 with an answer, 2 when the question does not fit the template, 3 when there are fewer
    than 11 cases in a treatment, when no replica answered for a key, or when no node is running.
    """
    from qisguard.errors import ServiceError
    from qisguard.service.asking import ask
    from qisguard.service.opening import open_lineage
    from qisguard.service.places import config_of

    try:
        config = config_of(node, net, os.environ)
        chosen = [arm.strip() for arm in arms.split(",")] if arms else []
        reply = ask(
            config, open_lineage(template, Path()), pairs or (), chosen, horizon, reckon_with
        )
    except ServiceError as error:
        typer.echo(f"{error.code} {error}\ntry: qisguard node status CONFIG", err=True)
        raise typer.Exit(Exit.NOT_MEASURED) from None
    if as_json:
        echo_json(reply.as_json())
    else:
        typer.echo(_as_text(reply))
        if explain and reply.end is Exit.CLEAN:
            from qisguard.cli.explaining import explained

            typer.echo("\n" + explained(reply.answer.steps))
    raise typer.Exit(reply.end)


def _as_text(reply: "Reply") -> str:
    answer = reply.answer
    asked = f"{reply.answered} of {reply.asked} replicas answered, {reply.keys} keys"
    if reply.silent:
        return (
            f"not measured: no replica answered for {reply.silent} of {reply.keys} keys ({asked})"
        )
    if reply.end is not Exit.CLEAN:
        return f"{answer.state}: {'; '.join(answer.reasons)}; nothing more is told of so few cases"
    rows = [
        ["question", answer.estimand],
        ["decision", f"{answer.decision} ({answer.state})"],
        *(["because", reason] for reason in answer.reasons),
        ["difference", _interval(answer.difference, answer.low, answer.high, sign="+")],
        *([arm.arm, f"{_interval(arm.estimate, arm.low, arm.high)}, {arm.cases} cases"]
          for arm in answer.arms),
        ["cases", f"{answer.cases} of {answer.packets} packets, {answer.issuers} issuers"],
        ["method", f"{answer.method}: {answer.method_note}"],
        ["flip radius", _flip(answer)],
        ["largest issuer", f"{answer.largest_issuer}, {answer.largest_share:.1%} of the weight"],
        *(["flag", flag] for flag in answer.flags),
        *(["dropped", f"{count} {reason}"] for reason, count in answer.dropped.items()),
        *(["refused", f"{count} {reason}"] for reason, count in reply.refused.items()),
        ["replicas", asked],
        *(["version", _version(version)] for version in reply.versions[1:]),
        ["limits", f"{answer.label}, not proof that a treatment works"],
    ]  # fmt: skip
    return table(rows)


def _version(version: "VersionRead") -> str:
    left_out = f", {version.left_out} keys left out: only a part of their cases would fit"
    used = f"{version.template}: {version.packets} packets under {version.keys} keys"
    return used + (left_out if version.left_out else "")


def _interval(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    if value is None or low is None or high is None:
        return "not told"
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f}, 95 %)"


def _flip(answer: "Answer") -> str:
    flip = answer.flip
    if flip is None:
        return "none without a decision"
    found = "no attack found" if flip.found is None else f"best attack found needs {flip.found:.1%}"
    where = "weight" if flip.everywhere is None else "issuers, or of every issuer's cases"
    return f"safe below {flip.safe:.1%} of poisoned {where}; {found}"
