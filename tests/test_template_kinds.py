"""Templates of every kind through a running node, and a member whose secret is a wrong one."""

import asyncio
from pathlib import Path

import pytest

from qisguard.errors import ScenarioError
from qisguard.exits import Exit
from qisguard.service.asking import ask
from qisguard.service.config import ServiceConfig, load_config
from qisguard.service.identities import create_secret
from qisguard.service.opening import open_lineage, open_network_file
from qisguard.service.publishing import Report, publish_file
from tests.services import EXAMPLES, hosts, invoke, make_net

KINDS = ("readmission", "hba1c")


def _config(folder: Path) -> ServiceConfig:
    net = make_net(folder / "net", nodes=1, issuers=1, defended=True)
    return load_config(net.config("node-01"))


def _publish(config: ServiceConfig, name: str) -> Report:
    folder = EXAMPLES if name == "breast-cancer" else EXAMPLES / name
    lineage = open_lineage(name, Path())
    key = config.path.parents[2] / "authors" / "issuer-01.key"
    sheet = folder / "invented-1.csv"
    flags = {"strict": True, "first": True}
    return publish_file(sheet, lineage, key, config, **flags, progress=lambda *_: None)


def test_every_kind_is_stored_asked_for_and_answered_or_said_to_be_too_few(tmp_path: Path) -> None:
    config = _config(tmp_path)

    def story() -> None:
        for name in KINDS:
            report = _publish(config, name)
            assert (report.new, report.missing, report.end) == (60, [], Exit.CLEAN)
            reply = ask(config, open_lineage(name, Path()), [], (), None)
            assert [(v.packets, v.left_out) for v in reply.versions] == [(60, 0)]
            assert reply.refused == {}
            assert reply.end in (Exit.CLEAN, Exit.NOT_MEASURED)
            assert reply.as_json()["exit"] == reply.end
            with pytest.raises(ScenarioError, match="--horizon = 30, must be left out"):
                ask(config, open_lineage(name, Path()), [], (), 30)
            shown = invoke("query", "--template", name, "--node", config.path)
            assert shown.exit_code == reply.end

    async def run() -> None:
        async with hosts([config]):
            await asyncio.to_thread(story)

    asyncio.run(run())


def test_a_member_with_another_secret_is_told_to_compare_it(tmp_path: Path) -> None:
    config = _config(tmp_path)
    other = config.path.with_name("other.toml")
    create_secret(config.path.with_name("other.secret"), open_network_file(config).id)
    text = config.path.read_text().replace("../../similarity.secret", "other.secret")
    other.write_text(text)

    async def run() -> None:
        async with hosts([config]):
            report = await asyncio.to_thread(_publish, load_config(other), "readmission")
            assert (report.acknowledged, len(report.missing)) == (0, 60)
            assert report.end is Exit.NOT_MEASURED
            assert (
                "replicas do not know these keys: the secret here has the check" in report.notes[-1]
            )

    asyncio.run(run())
