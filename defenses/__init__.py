"""One defence a module, each with a card."""

from typing import Any

from qisguard.defenses.address_diversity import AddressDiversity
from qisguard.defenses.age import Age
from qisguard.defenses.argon2id import Argon2idPuzzle
from qisguard.defenses.beta_reputation import BetaReputation
from qisguard.defenses.bound_puzzle import BoundPuzzle
from qisguard.defenses.cusum import Cusum
from qisguard.defenses.disjoint_paths import DisjointPaths
from qisguard.defenses.distance_scan import DistanceScan
from qisguard.defenses.eigentrust import EigenTrust
from qisguard.defenses.five_sigma import FiveSigma
from qisguard.defenses.five_sigma_iterated import FiveSigmaIterated
from qisguard.defenses.flagged_region import FlaggedRegion
from qisguard.defenses.hearsay_limits import HearsayLimits
from qisguard.defenses.hello_budget import HelloBudget
from qisguard.defenses.issuer_huber import IssuerHuber
from qisguard.defenses.issuer_median import IssuerMedian
from qisguard.defenses.issuer_median_of_means import IssuerMedianOfMeans
from qisguard.defenses.issuer_trim import IssuerTrim
from qisguard.defenses.issuer_weighted_median import IssuerWeightedMedian
from qisguard.defenses.keyed_keys import KeyedKeys
from qisguard.defenses.kl_detector import KlDetector
from qisguard.defenses.leave_one_out import LeaveOneOut
from qisguard.defenses.mad import Mad
from qisguard.defenses.more_replicas import MoreReplicas
from qisguard.defenses.newcomer_shift import NewcomerShift
from qisguard.defenses.one_vote import OneVote
from qisguard.defenses.parallel_lookups import ParallelLookUps
from qisguard.defenses.prefix_limit import PrefixLimit
from qisguard.defenses.puzzles import Puzzles
from qisguard.defenses.quick_repair import QuickRepair
from qisguard.defenses.record_caps import RecordCaps
from qisguard.defenses.region_count import RegionCount
from qisguard.defenses.region_store import RegionStore
from qisguard.defenses.request_budgets import RequestBudgets
from qisguard.defenses.roster import RosterRouting
from qisguard.defenses.scan_count import ScanCount
from qisguard.defenses.sequence import Sequence
from qisguard.defenses.short_patience import ShortPatience
from qisguard.defenses.siblings import RedundantSiblings
from qisguard.defenses.static_puzzle import StaticPuzzle
from qisguard.defenses.structure import Structure

DEFENSES: dict[str, type[Any]] = {
    "roster_routing": RosterRouting,
    "structure": Structure,
    "sequence": Sequence,
    "one_vote": OneVote,
    "age": Age,
    "issuer_trim": IssuerTrim,
    "leave_one_out": LeaveOneOut,
    "five_sigma": FiveSigma,
    "five_sigma_iterated": FiveSigmaIterated,
    "mad": Mad,
    "issuer_median": IssuerMedian,
    "issuer_weighted_median": IssuerWeightedMedian,
    "issuer_huber": IssuerHuber,
    "issuer_median_of_means": IssuerMedianOfMeans,
    "beta_reputation": BetaReputation,
    "eigentrust": EigenTrust,
    "newcomer_shift": NewcomerShift,
    "cusum": Cusum,
    "disjoint_paths": DisjointPaths,
    "kl_detector": KlDetector,
    "scan_count": ScanCount,
    "distance_scan": DistanceScan,
    "region_count": RegionCount,
    "static_puzzle": StaticPuzzle,
    "request_budgets": RequestBudgets,
    "more_replicas": MoreReplicas,
    "record_caps": RecordCaps,
    "quick_repair": QuickRepair,
    "keyed_keys": KeyedKeys,
    "hello_budget": HelloBudget,
    "hearsay_limits": HearsayLimits,
    "bound_puzzle": BoundPuzzle,
    "parallel_look_ups": ParallelLookUps,
    "redundant_siblings": RedundantSiblings,
    "address_diversity": AddressDiversity,
    "prefix_limit": PrefixLimit,
    "puzzles": Puzzles,
    "argon2id_puzzle": Argon2idPuzzle,
    "region_store": RegionStore,
    "flagged_region": FlaggedRegion,
    "short_patience": ShortPatience,
}
