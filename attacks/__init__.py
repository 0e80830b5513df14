"""One attack a module, each with a card."""

from typing import Any

from qisguard.attacks.insider import CompromisedHospital
from qisguard.attacks.lookup_lies import LookUpDrop, LookUpMisroute
from qisguard.attacks.sybil import SybilPoisoning

ATTACKS: dict[str, type[Any]] = {
    "sybil_poisoning": SybilPoisoning,
    "compromised_hospital": CompromisedHospital,
    "look_up_drop": LookUpDrop,
    "look_up_misroute": LookUpMisroute,
}
