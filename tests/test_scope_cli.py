"""``qisguard scope``: drafted, consented to by its targets, signed by the authority, checked."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qisguard.cli.scope import app
from qisguard.errors import QisguardError
from qisguard.exits import Exit
from qisguard.identity.keys import to_text
from qisguard.identity.network import Network, seal_network
from qisguard.service.identities import create, create_key


@dataclass(frozen=True)
class Desk:
    """A folder with an authority's key, its network file, and the identity of a target."""

    folder: Path
    authority: str
    key: str

    @classmethod
    def make(cls, folder: Path) -> "Desk":
        """Return a desk in an empty folder."""
        authority = create_key(folder / "authority.key")
        network = Network("scoped", authority.public, bytes(32), 0, 0)
        (folder / "network").write_bytes(seal_network(network, authority))
        identity = create(folder / "target", network, jobs=1)
        return cls(folder, to_text(authority.public), to_text(identity.key.public))

    def __truediv__(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def named(self) -> list[str]:
        """Return the options that name network and authority."""
        return ["--network", self / "network", "--authority", self.authority]

    def run(self, *words: str) -> tuple[int, str]:
        """Return exit code and output; an error of ours is raised, as the whole command does."""
        done = CliRunner().invoke(app, list(words))
        if isinstance(done.exception, QisguardError):
            raise done.exception
        return done.exit_code, done.output

    def draft(self, target: str = "10.1.2.3:4400-4410") -> tuple[int, str]:
        """Draft a scope for one target."""
        words = ["--target", f"{target}={self.key}", "--attack", "malformed", *self.named]
        return self.run("init", "--out", self / "draft", *words)

    def sign(self) -> tuple[int, str]:
        """Sign the draft as the authority."""
        words = ["--key", self / "authority.key", "--out", self / "scope"]
        return self.run("sign", self / "draft", *words)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk.make(tmp_path)


@pytest.fixture
def signed(desk: Desk) -> Desk:
    desk.draft()
    desk.run("consent", desk / "draft", "--identity", desk / "target")
    desk.sign()
    return desk


def test_each_step_names_the_next_one(desk: Desk) -> None:
    assert "scope consent" in desk.draft()[1]
    told = desk.run("consent", desk / "draft", "--identity", desk / "target")
    assert told == (0, "1 of 1 targets consent now, 0 are missing\n")
    assert "scope show" in desk.sign()[1]


def test_without_consent_nothing_is_signed(desk: Desk) -> None:
    desk.draft()
    with pytest.raises(QisguardError, match="has not consented"):
        desk.sign()
    assert not (desk.folder / "scope").exists()


def test_a_signed_scope_says_what_it_allows(signed: Desk) -> None:
    code, text = signed.run("show", signed / "scope", *signed.named)
    assert (code, "10.1.2.3" in text, text.startswith("valid:")) == (0, True, True)
    told = json.loads(signed.run("show", signed / "scope", *signed.named, "--json")[1])
    assert told["targets"] == [{"host": "10.1.2.3", "ports": [4400, 4410], "key": signed.key}]
    assert told["expires"] - told["begins"] == 86_400


@pytest.mark.parametrize(
    ("address", "attack", "code"),
    [
        ("10.1.2.3:4400", "malformed", Exit.CLEAN),
        ("10.1.2.3:4399", "malformed", Exit.REFUSED),
        ("10.1.2.3:4400", "hello_flood", Exit.REFUSED),
        ("8.8.8.8:4400", "malformed", Exit.REFUSED),
    ],
)
def test_a_check_exits_with_4_for_whatever_is_not_allowed(
    signed: Desk, address: str, attack: str, code: Exit
) -> None:
    words = ["check", signed / "scope", address, "--attack", attack, *signed.named]
    assert signed.run(*words)[0] == code


def test_a_scope_of_somebody_else_is_refused(signed: Desk) -> None:
    other = create_key(signed.folder / "other.key")
    words = ["--network", signed / "network", "--authority", to_text(other.public)]
    with pytest.raises(QisguardError, match="signature"):
        signed.run("show", signed / "scope", *words)


def test_an_identity_that_is_no_target_cannot_consent(desk: Desk) -> None:
    desk.draft()
    network = Network("scoped", bytes(32), bytes(32), 0, 0)
    create(desk.folder / "stranger", network, jobs=1)
    with pytest.raises(QisguardError, match="names no target"):
        desk.run("consent", desk / "draft", "--identity", desk / "stranger")


@pytest.mark.parametrize("target", ["10.1.2.3", "example.org:4400", "10.1.2.3:4400-", "x"])
def test_a_target_that_is_no_address_is_named(desk: Desk, target: str) -> None:
    with pytest.raises(QisguardError, match=r"must be HOST:LOW-HIGH=KEY"):
        desk.draft(target)


def test_nothing_is_written_over(desk: Desk) -> None:
    desk.draft()
    with pytest.raises(QisguardError, match="exists"):
        desk.draft()
