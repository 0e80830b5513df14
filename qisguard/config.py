"""Every number a node can be configured with, each with its unit, range and reason.

Sizes are bytes, times are seconds, counts are bare. ``describe`` gives people the same words that
the checks use, so that a configuration file, its error messages and its documentation agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from qisguard.errors import ScenarioError

DATAGRAM_SIZE = 1_200
"""The largest datagram: fits every path that IPv6 guarantees, with room for tunnels (RFC 8200)."""

T = TypeVar("T")


class ReplicaRule(StrEnum):
    """Who keeps the records of a place."""

    CLOSEST = "closest"
    ROSTER = "roster"
    REGION = "region"
    FLAGGED = "flagged"


@dataclass(frozen=True, slots=True)
class Setting:
    """One number in words: ``low`` to ``high`` are allowed, in ``unit``."""

    name: str
    group: str
    default: object
    unit: str
    low: float
    high: float
    doc: str


def _setting(default: T, group: str, unit: str, low: float, high: float, doc: str) -> T:
    """Return a dataclass field that carries its documentation; typed as its default."""
    made: Any = field(default=default, metadata={"setting": (group, unit, low, high, doc)})
    return made  # type: ignore[no-any-return]  # a field stands in for its default


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Parameters of one node; names follow Kademlia and S/Kademlia where they have one."""

    # --- routing ---------------------------------------------------------------------------------
    k: int = _setting(20, "routing", "contacts", 1, 20, "bucket size; 20 fit one datagram")
    siblings: int = _setting(
        20, "routing", "contacts", 1, 64, "s of S/Kademlia 4.2: how many are closest to a key"
    )
    sibling_factor: int = _setting(
        5, "routing", "", 1, 16, "eta of S/Kademlia 4.2: the sibling list holds eta * s contacts"
    )
    shared_bits_max: int = _setting(
        32,
        "routing",
        "bits",
        8,
        256,
        "an id that shares more leading bits with ours was searched for (S/Kademlia 4.3)",
    )
    address_diversity: bool = _setting(
        True, "routing", "", 0, 1, "limit contacts of one network; off only where all share one"
    )
    subnet_bucket_max: int = _setting(
        2, "routing", "contacts", 1, 1_000, "most contacts of one /24 or /48 in a bucket"
    )
    subnet_table_max: int = _setting(
        10, "routing", "contacts", 1, 10_000, "most contacts of one /24 or /48 in the table"
    )
    questionable_after: float = _setting(
        900.0, "routing", "seconds", 0.001, 1e9, "a silent member is pinged when a newcomer waits"
    )
    knock_interval: float = _setting(
        15.0, "routing", "seconds", 0.001, 1e9, "one lost bootstrap is called again this often"
    )
    probe_interval: float = _setting(
        240.0, "routing", "seconds", 1, 1e9, "a contact is pinged this often where none dies"
    )
    failures_max: int = _setting(
        2, "routing", "failures", 1, 16, "requests in a row that a contact may leave unanswered"
    )
    refresh_interval: float = _setting(
        3_600.0, "routing", "seconds", 0.001, 1e9, "a bucket without a look-up for so long gets one"
    )

    # --- look-ups --------------------------------------------------------------------------------
    alpha: int = _setting(3, "lookup", "requests", 1, 64, "requests in flight on each path")
    disjoint_paths: int = _setting(1, "lookup", "paths", 1, 16, "d of S/Kademlia 4.4")
    request_timeout: float = _setting(
        1.0, "lookup", "seconds", 0.001, 60, "longest wait for a reply, and the first one"
    )
    request_timeout_min: float = _setting(
        0.25, "lookup", "seconds", 0.001, 60, "shortest wait, however fast peers have been"
    )
    request_tries: int = _setting(10, "lookup", "tries", 1, 16, "how often a request is sent")
    requests_per_peer_max: int = _setting(
        16, "lookup", "requests", 1, 1_024, "requests in flight to one peer; others wait"
    )
    queued_per_peer_max: int = _setting(
        4_096, "lookup", "requests", 1, 1 << 20, "requests that wait for one peer"
    )

    # --- sessions --------------------------------------------------------------------------------
    handshake_timeout: float = _setting(
        0.5, "session", "seconds", 0.001, 60, "longest first wait within a handshake"
    )
    handshake_timeout_max: float = _setting(
        2.0, "session", "seconds", 0.001, 60, "longest wait between two tries of a handshake"
    )
    handshake_tries: int = _setting(10, "session", "tries", 1, 16, "how often each part is sent")
    handshakes_open_max: int = _setting(
        1_024, "session", "handshakes", 1, 1 << 20, "handshakes started here and not finished"
    )
    hearsay_hellos_per_second: float = _setting(
        0.5,
        "session",
        "per second",
        0.001,
        1e6,
        "Hellos to one /24 or /48 (one address when addresses are shared) that proved nothing, "
        "by the word of one network or organisation",
    )
    hearsay_hellos_burst: float = _setting(
        4.0, "session", "", 1, 1e6, "such Hellos that may be sent at once after a quiet time"
    )
    hearsay_hellos_per_network: float = _setting(
        2.0,
        "session",
        "per second",
        0.001,
        1e6,
        "such Hellos to one network by the word of all together; beyond that each waits its turn",
    )
    cookie_lifetime: float = _setting(
        10.0, "session", "seconds", 0.1, 3_600, "how long a cookie proves an address"
    )
    hellos_per_second: float = _setting(
        20_000.0,
        "session",
        "per second",
        1,
        1e7,
        "one budget for everybody: charging a claimed sender would let a spoofer lock it out",
    )
    auths_per_second: float = _setting(
        200.0, "session", "per second", 1, 1e6, "budget of one address after its cookie returned"
    )
    addresses_tracked_max: int = _setting(
        4_096, "session", "addresses", 1, 1 << 20, "budgets remembered at a time"
    )
    requests_per_second: float = _setting(
        2_000.0, "session", "per second", 1, 1e6, "budget of one identity with a session"
    )
    organisation_requests_per_second: float = _setting(
        10_000.0,
        "session",
        "per second",
        1,
        1e7,
        "budget of all identities of one organisation, or of one network when off the roster",
    )
    puzzle_checks_per_second: float = _setting(
        0.5, "session", "per second", 0.001, 1e6, "Argon2id checks for one id, whose owner signs"
    )
    sessions_max: int = _setting(4_096, "session", "sessions", 1, 1 << 20, "open sessions")
    session_idle: float = _setting(
        600.0, "session", "seconds", 0.1, 1e9, "a session without a valid message is forgotten"
    )
    session_unconfirmed: float = _setting(
        10.0, "session", "seconds", 0.1, 1e9, "a session that its client never used is forgotten"
    )
    session_rekey_after: float = _setting(
        21_600.0, "session", "seconds", 0.1, 1e9, "a session this old is replaced by a new one"
    )
    descriptor_days: int = _setting(
        30, "session", "days", 1, 400, "validity of our descriptor; renewed after two thirds"
    )

    # --- replicas and storage --------------------------------------------------------------------
    replica_rule: ReplicaRule = _setting(  # noqa: RUF009 an enum member is a constant
        ReplicaRule.CLOSEST,
        "storage",
        "",
        0,
        0,
        "who keeps a place: the closest found, the closest on the roster, a whole region, or the "
        "closest until a detector flags them, and then the region",
    )
    replica_count: int = _setting(20, "storage", "nodes", 1, 64, "nodes that keep a place")
    replicas_per_issuer: int = _setting(
        2, "storage", "nodes", 1, 64, "most replicas of a place in one organisation (roster)"
    )
    region_max: int = _setting(
        256, "storage", "nodes", 1, 4_096, "most nodes of a region that are written to (region)"
    )
    replica_slack: float = _setting(
        2.0,
        "storage",
        "",
        1,
        64,
        "a place is taken while at most replica_count times this many known nodes are closer",
    )
    record_lifetime: float = _setting(
        48 * 3_600.0, "storage", "seconds", 1, 1e9, "a provider record expires unless renewed"
    )
    clock_tolerance: float = _setting(
        3_600.0, "storage", "seconds", 0, 1e9, "how far ahead of ours a publisher's clock may be"
    )
    republish_interval: float = _setting(
        22 * 3_600.0, "storage", "seconds", 1, 1e9, "own records and packets are published again"
    )
    repair_interval: float = _setting(
        3_600.0, "storage", "seconds", 1, 1e9, "replicas of what is held are compared and completed"
    )
    packets_max: int = _setting(1_000_000, "storage", "cases", 1, 1 << 32, "cases ever taken")
    packets_per_key_max: int = _setting(4_096, "storage", "packets", 1, 1 << 24, "packets of a key")
    records_max: int = _setting(1_000_000, "storage", "records", 1, 1 << 32, "provider records")
    providers_per_key_max: int = _setting(
        100_000, "storage", "records", 1, 1 << 24, "provider records of one key"
    )
    records_per_provider_max: int = _setting(
        100_000, "storage", "records", 1, 1 << 24, "provider records of one identity"
    )
    index_keys_max: int = _setting(
        65_536, "storage", "keys", 1, 1 << 24, "keys in the index of one domain prefix"
    )
    index_providers_max: int = _setting(
        8, "storage", "records", 1, 1_024, "providers that the index remembers for one key"
    )
    evidence_max: int = _setting(
        1_024, "storage", "pairs", 1, 1 << 20, "pairs of packets kept as evidence of equivocation"
    )
    sequence_jump_max: int = _setting(
        1_000, "storage", "", 1, 1 << 32, "a packet's sequence number rises by at most this much"
    )
    sequence_memory_days: int = _setting(
        365, "storage", "days", 0, 36_500, "a sequence number is remembered so long past expiry"
    )
    checkpoint_interval: float = _setting(
        60.0, "storage", "seconds", 0.001, 1e9, "the trail is signed at least this often"
    )
    checkpoint_entries_max: int = _setting(
        256,
        "storage",
        "entries",
        1,
        1 << 20,
        "the trail is signed sooner when so many wait: each packet is a file to write",
    )
    announces_keys: bool = _setting(
        True, "storage", "", 0, 1, "enter published keys in the index of their domain prefix"
    )
    listing_max: int = _setting(
        28, "storage", "digests", 1, 28, "digests in one page: 28 of 40 bytes fit one datagram"
    )

    def __post_init__(self) -> None:
        for setting in describe():
            value = getattr(self, setting.name)
            if isinstance(value, ReplicaRule):
                continue
            if not setting.low <= value <= setting.high:
                raise ScenarioError(
                    f"node.{setting.name} = {value}, must be {setting.low:g} to {setting.high:g}"
                    f"{' ' if setting.unit else ''}{setting.unit}"
                )


def describe() -> Iterator[Setting]:
    """Return every setting with its default, unit, range and reason, in the order of the class."""
    for entry in fields(NodeConfig):
        group, unit, low, high, doc = entry.metadata["setting"]
        yield Setting(entry.name, group, entry.default, unit, low, high, doc)
