"""Every number a node can be configured with; sizes in bytes, times in seconds, counts bare."""

from dataclasses import dataclass

from qisguard.errors import ScenarioError

DATAGRAM_SIZE = 1_200
"""The largest datagram: fits every path that IPv6 guarantees, with room for tunnels (RFC 8200)."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Parameters of one node; names follow Kademlia and S/Kademlia where they have one."""

    k: int = 20
    """Bucket size, and how many of the closest nodes a look-up returns."""
    alpha: int = 3
    """Requests in flight on each path of a look-up."""
    disjoint_paths: int = 1
    """d of S/Kademlia, section 4.4."""
    replica_count: int = 20
    """Nodes that a packet is stored on."""
    roster_replicas: bool = False
    """Place replicas on the closest ids *of the roster* instead of the closest found."""
    replicas_per_issuer: int = 2
    """Most replicas of one key in one organisation, with ``roster_replicas``."""

    request_timeout: float = 1.0
    """Wait for a reply before a request is sent again."""
    request_tries: int = 3
    handshake_timeout: float = 1.0
    handshake_tries: int = 3
    handshakes_open_max: int = 1_024
    """Handshakes this node has started and not finished."""
    queued_per_peer_max: int = 256
    """Messages that wait for one session to open."""

    cookie_lifetime: float = 10.0
    hellos_per_second: float = 5_000.0
    """One budget for everybody: charging a claimed sender would let a spoofer lock it out."""
    auths_per_second: float = 200.0
    """Budget of one address, spent after its cookie returned."""
    addresses_tracked_max: int = 4_096
    requests_per_second: float = 2_000.0
    """Budget of one identity, once its session is open."""
    sessions_max: int = 4_096
    session_idle: float = 600.0
    """A session without a valid message for this long is forgotten."""

    record_lifetime: float = 48 * 3600.0
    packets_per_key_max: int = 4_096
    sequence_jump_max: int = 1_000
    """A packet's sequence number may rise by at most this much at once."""
    listing_max: int = 28
    """Digests in one page: 28 entries of 40 bytes fit one datagram."""

    def __post_init__(self) -> None:
        for name in (
            "k",
            "alpha",
            "disjoint_paths",
            "replica_count",
            "replicas_per_issuer",
            "request_tries",
            "handshake_tries",
            "sessions_max",
            "handshakes_open_max",
        ):
            if getattr(self, name) < 1:
                raise ScenarioError(f"node.{name} = {getattr(self, name)}, must be at least 1")
        for name in ("request_timeout", "handshake_timeout", "cookie_lifetime", "session_idle"):
            if not getattr(self, name) > 0:
                raise ScenarioError(f"node.{name} = {getattr(self, name)}, must be above 0 seconds")
        if not 1 <= self.listing_max <= 28:
            raise ScenarioError(f"node.listing_max = {self.listing_max}, must be 1 to 28")
        if self.k > 20:
            raise ScenarioError(f"node.k = {self.k}, at most 20 contacts fit one datagram")
