"""One attack a module, each with a card."""

from typing import Any

from qisguard.attacks.cross_network import CrossNetworkReplay
from qisguard.attacks.equivocation import Equivocation
from qisguard.attacks.hearsay import ReflectionByHearsay
from qisguard.attacks.id_grinding import IdGrinding
from qisguard.attacks.index_poisoning import IndexPoisoning
from qisguard.attacks.insider import CompromisedHospital
from qisguard.attacks.key_dictionary import KeyDictionary
from qisguard.attacks.lookup_lies import LookUpDrop, LookUpMisroute
from qisguard.attacks.malformed import Malformed
from qisguard.attacks.packet_lies import PacketForgery, StalePackets
from qisguard.attacks.precomputed_ids import PrecomputedIds
from qisguard.attacks.provider_spam import ProviderSpam
from qisguard.attacks.provider_swamp import ProviderSwamp
from qisguard.attacks.puzzle_reuse import PuzzleReuse
from qisguard.attacks.query_exposure import QueryExposure
from qisguard.attacks.replay import Replay
from qisguard.attacks.request_flood import RequestFlood
from qisguard.attacks.spoofing import Amplification, HelloFlood
from qisguard.attacks.storage_drop import StorageCensor, StorageDrop
from qisguard.attacks.sybil import SybilPoisoning

ATTACKS: dict[str, type[Any]] = {
    "sybil_poisoning": SybilPoisoning,
    "compromised_hospital": CompromisedHospital,
    "look_up_drop": LookUpDrop,
    "look_up_misroute": LookUpMisroute,
    "storage_drop": StorageDrop,
    "storage_censor": StorageCensor,
    "provider_spam": ProviderSpam,
    "index_poisoning": IndexPoisoning,
    "provider_swamp": ProviderSwamp,
    "packet_forgery": PacketForgery,
    "stale_packets": StalePackets,
    "equivocation": Equivocation,
    "replay": Replay,
    "cross_network_replay": CrossNetworkReplay,
    "amplification": Amplification,
    "reflection_by_hearsay": ReflectionByHearsay,
    "request_flood": RequestFlood,
    "hello_flood": HelloFlood,
    "malformed": Malformed,
    "query_exposure": QueryExposure,
    "key_dictionary": KeyDictionary,
    "id_grinding": IdGrinding,
    "precomputed_ids": PrecomputedIds,
    "puzzle_reuse": PuzzleReuse,
}
