"""The defence ``structure`` and templates: keys, rules across fields, secrets."""

import pytest

from qisguard.defenses.structure import Structure
from qisguard.errors import RecordError
from qisguard.identity.keys import KeyPair
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.outcomes.template import open_template
from tests.packets import NETWORK, PATIENT, TEMPLATE_FILE, TODAY, template

AUTHOR = KeyPair.from_seed(b"a" * 32)


def forged(**change: object) -> OutcomePacket:
    """Return a packet of ``PATIENT`` with parts of it changed, well signed."""
    fields: dict[str, object] = {
        "network": NETWORK,
        "template": template().id,
        "key": template().key(PATIENT.values),
        "case": b"c" * 16,
        "author": AUTHOR.public,
        "seq": 1,
        "day": TODAY,
        "exp": TODAY + 9,
        "arm": "hormone",
        "outcome": Outcome.after(700, 1),
        "feat": PATIENT.feat,
    }
    return sign_packet(packet_body(**(fields | change)), AUTHOR)  # type: ignore[arg-type]  # forgery


@pytest.mark.rule("CROSS-03")
@pytest.mark.parametrize(
    ("lines", "change", "reason"),
    [
        ("", {}, None),
        ("", {"key": bytes(32)}, "not a key of this template"),
        (
            "[[rule]]\nname = 'few'\nwhen = { grade = 'II' }\nthen = { nodes = [0, 2] }",
            {},
            "rule few",
        ),
        ("[feat.progesterone-receptor]\nunit = 'u'\nmin = -5\nmax = 9", {}, None),
    ],
)
@pytest.mark.parametrize("more", [0, 3])
def test_structure_holds_rules_and_features_against_the_key(
    lines: str, change: dict[str, object], reason: str | None, more: int
) -> None:
    """``more`` fields of a hundred bins: too many keys to list, so less can be checked."""
    edges = ",".join(map(str, range(100)))
    text = TEMPLATE_FILE.read_text() + lines
    text += "".join(
        f"\n[[field]]\nname = 'n{place}'\nunit = 'u'\nedges = [{edges}]" for place in range(more)
    )
    shape = open_template(text.encode())
    values = PATIENT.values | {f"n{place}": 1 for place in range(more)}
    packet = forged(**{"key": shape.key(values)} | change)
    refusal = Structure(shape).accept(packet, None, TODAY)
    wanted = None if more and reason == "rule few" else reason
    assert (refusal.reason if refusal else None) == (wanted and f"structure: {wanted}")


@pytest.mark.parametrize("told", [-1, 0, 50])
def test_structure_refuses_a_feature_that_contradicts_the_key(told: int) -> None:
    """-1 is within the feature's range and in no bin: refused, and never raised."""
    text = TEMPLATE_FILE.read_text()
    text += "[feat.progesterone-receptor]\nunit = 'u'\nmin = -5\nmax = 90"
    shape = open_template(text.encode())
    packet = forged(feat={"progesterone-receptor": told})
    refusal = Structure(shape).accept(packet, None, TODAY)
    assert (refusal is None) == (told == 50)
    assert refusal is None or refusal.reason == "structure: features and key disagree"


def test_structure_is_not_made_without_the_secret_of_a_keyed_template() -> None:
    text = TEMPLATE_FILE.read_text().replace("version = 1", "version = 1\nkeyed = true")
    with pytest.raises(RecordError, match="is keyed, and no secret is given"):
        Structure(open_template(text.encode()))
