"""One attack a module, each with a card."""

from typing import Any

from qisguard.attacks.adaptive import AdaptivePoisoning
from qisguard.attacks.cohort_targeted import CohortTargeted
from qisguard.attacks.colluding_adverts import ColludingAdverts
from qisguard.attacks.constants import ConstantVotes, GaussianVotes
from qisguard.attacks.cross_network import CrossNetworkReplay
from qisguard.attacks.decoys import DecoyMasking
from qisguard.attacks.departures import ChurnAttack
from qisguard.attacks.eclipse import BootstrapPoisoning, RestartEclipse
from qisguard.attacks.equivocation import Equivocation
from qisguard.attacks.false_contacts import FalseAddress, IdSpoofing
from qisguard.attacks.flips import LabelFlip, SignFlip
from qisguard.attacks.hearsay import ReflectionByHearsay
from qisguard.attacks.id_grinding import IdGrinding
from qisguard.attacks.index_poisoning import IndexPoisoning
from qisguard.attacks.inner_product import InnerProduct
from qisguard.attacks.insider import CompromisedHospital
from qisguard.attacks.key_dictionary import KeyDictionary
from qisguard.attacks.little import LittleIsEnough
from qisguard.attacks.lookup_dead_ends import LookUpFalseClosest
from qisguard.attacks.lookup_lies import LookUpDrop, LookUpMisroute
from qisguard.attacks.lookup_slow import LookUpSlow
from qisguard.attacks.malformed import Malformed
from qisguard.attacks.mimic import Mimic
from qisguard.attacks.min_max import MinMax
from qisguard.attacks.name_changing import NameChanging
from qisguard.attacks.on_off import OnOff
from qisguard.attacks.packet_lies import PacketForgery, StalePackets
from qisguard.attacks.patient import Patient
from qisguard.attacks.precomputed_ids import PrecomputedIds
from qisguard.attacks.provider_spam import ProviderSpam
from qisguard.attacks.provider_swamp import ProviderSwamp
from qisguard.attacks.puzzle_reuse import PuzzleReuse
from qisguard.attacks.query_exposure import QueryExposure
from qisguard.attacks.replay import Replay
from qisguard.attacks.request_flood import RequestFlood
from qisguard.attacks.slow_drip import SlowDrip
from qisguard.attacks.spoofing import Amplification, HelloFlood
from qisguard.attacks.storage_drop import StorageCensor, StorageDrop
from qisguard.attacks.stuffing import BallotStuffing, ReplayedVotes
from qisguard.attacks.survival_lies import EarlyDeaths, Immortals, LateDeaths
from qisguard.attacks.sybil import SybilPoisoning
from qisguard.attacks.sybil_evading import SybilEvading
from qisguard.attacks.sybil_ids import SybilAtKey, SybilFlood
from qisguard.attacks.table_flood import NearBucketFlood, TableFlood
from qisguard.attacks.whitewashing import Whitewashing

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
    "look_up_false_closest": LookUpFalseClosest,
    "look_up_slow": LookUpSlow,
    "sybil_at_key": SybilAtKey,
    "sybil_evading": SybilEvading,
    "sybil_flood": SybilFlood,
    "table_flood": TableFlood,
    "near_bucket_flood": NearBucketFlood,
    "restart_eclipse": RestartEclipse,
    "bootstrap_poisoning": BootstrapPoisoning,
    "colluding_adverts": ColludingAdverts,
    "false_address": FalseAddress,
    "id_spoofing": IdSpoofing,
    "churn_attack": ChurnAttack,
    "whitewashing": Whitewashing,
    "on_off": OnOff,
    "name_changing": NameChanging,
    "patient": Patient,
    "sign_flip": SignFlip,
    "label_flip": LabelFlip,
    "constant_votes": ConstantVotes,
    "gaussian_votes": GaussianVotes,
    "little_is_enough": LittleIsEnough,
    "inner_product": InnerProduct,
    "mimic": Mimic,
    "min_max": MinMax,
    "slow_drip": SlowDrip,
    "decoy_masking": DecoyMasking,
    "cohort_targeted": CohortTargeted,
    "ballot_stuffing": BallotStuffing,
    "replayed_votes": ReplayedVotes,
    "early_deaths": EarlyDeaths,
    "immortals": Immortals,
    "late_deaths": LateDeaths,
    "adaptive_poisoning": AdaptivePoisoning,
}
