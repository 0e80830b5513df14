"""One attack a module, each with a card."""

from qisguard.attacks.insider import CompromisedHospital
from qisguard.attacks.sybil import SybilPoisoning

ATTACKS = {
    "sybil_poisoning": SybilPoisoning,
    "compromised_hospital": CompromisedHospital,
}
