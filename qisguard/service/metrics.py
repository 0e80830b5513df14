"""What a scraper reads: counters and gauges of every node of one process.

Labels come from fixed sets, never from a peer, a patient or a message: what is not in a set is
counted as ``other``. The registry is this page's own, and the only label that names a node is the
one in its configuration.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from qisguard.node.messages import Request

if TYPE_CHECKING:
    from qisguard.service.host import Host
    from qisguard.service.running import Lag

PAGE_PATH = "/metrics"
OTHER = "other"

REASONS: Mapping[str, frozenset[str]] = {
    "busy": frozenset(("request budget",)),
    "descriptors out of date": frozenset(("here or there a clock may be wrong",)),
    "dropped": frozenset(
        (
            "DecodeError",
            "IdentityError",
            "ProofError",
            "RecordError",
            "accept budget of an address",
            "accept by another identity",
            "accept nobody asked for",
            "auth budget of an address",
            "cookie nobody asked for",
            "cookie of another",
            "cookie too old",
            "hello budget",
            "hello for another node",
            "malformed message",
            "no such session",
            "older descriptor",
            "replayed or stale counter",
            "reply nobody asked for",
            "seal broken",
            "too many cookies of one handshake",
            "unusable ephemeral",
        )
    ),
    "requests": frozenset(message.__name__ for message in get_args(Request)),
    "not admitted": frozenset(
        (
            "bucket full",
            "id too close",
            "network full in bucket",
            "network full in table",
            "not on the roster",
            "own id",
        )
    ),
    "not connected": frozenset(("hearsay handshakes", "hearsay hellos to one network")),
    "flagged": frozenset(("ids crowd around a key",)),
    "packet refused": frozenset(
        (
            "another key than the record's",
            "another network",
            "equivocation",
            "expired",
            "key full",
            "older sequence",
            "sequence jump",
            "stale version",
            "store full",
            "structure: another template",
            "structure: features and key disagree",
            "structure: not a key of this template",
            "structure: observed in the future",
            "structure: value outside the template",
        )
    ),
    "refused": frozenset(("DecodeError", "ProofError", "RecordError", "StoreError")),
}
"""Counts that are called ``kind: reason``."""

EVENTS = frozenset(
    (
        "busy peers",
        "handshake table full",
        "handshakes failed",
        "packets taken",
        "requests refused here",
        "requests repeated",
        "requests unanswered",
        "sessions ended by their descriptor",
        "sessions evicted",
        "sessions never used",
        "storage faults",
    )
)
"""Counts that are called by one name."""

STATE = frozenset(("contacts", "network_size", "operations", "requests", "sessions", "siblings"))
"""Numbers of ``Node.status`` that become gauges."""
STORED = frozenset(
    ("evidence", "evidence refused", "index records", "names", "own", "packets", "records")
)
"""Numbers of ``Store.counts`` that become gauges."""


def labels_of(name: str) -> tuple[str, str]:
    """Return kind and reason of one of a node's counts, from the fixed sets."""
    kind, colon, reason = name.partition(": ")
    if not colon:
        return "event", name if name in EVENTS else OTHER
    if kind not in REASONS:
        return OTHER, OTHER
    return kind, reason if reason in REASONS[kind] else OTHER


class Page(Collector):
    """One page of metrics; it reads the nodes when it is asked."""

    def __init__(self, hosts: "Sequence[Host]", lag: "Lag") -> None:
        self._hosts = hosts
        self._lag = lag
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> tuple[str, bytes]:
        """Return the content type and the page."""
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give every metric, as the library asks for it."""
        counts = CounterMetricFamily(
            "qisguard_node_events", "what a node counted", labels=("node", "kind", "reason")
        )
        datagrams = CounterMetricFamily(
            "qisguard_node_datagrams", "datagrams by fate", labels=("node", "fate")
        )
        errors = CounterMetricFamily(
            "qisguard_node_internal_errors", "faults of the program itself", labels=("node",)
        )
        state = GaugeMetricFamily(
            "qisguard_node_state", "how much a node is doing", labels=("node", "what")
        )
        stored = GaugeMetricFamily(
            "qisguard_node_stored", "how much a node keeps", labels=("node", "what")
        )
        trail = GaugeMetricFamily(
            "qisguard_node_trail_entries", "entries of the audit trail", labels=("node",)
        )
        gauges = {
            "joined": "1 once somebody answered",
            "storage_fault": "1 while writes are refused",
            "uptime_seconds": "seconds since the start",
        }
        families = {
            name: GaugeMetricFamily(f"qisguard_node_{name}", text, labels=("node",))
            for name, text in gauges.items()
        }
        for host in self._hosts:
            node, name = host.node, host.config.node.name
            summed: Counter[tuple[str, str]] = Counter()
            for count, value in node.counts.items():
                summed[labels_of(count)] += value
            for (kind, reason), value in sorted(summed.items()):
                counts.add_metric((name, kind, reason), value)
            for fate in ("sent", "lost", "refused"):
                datagrams.add_metric((name, fate), getattr(host.driver, fate))
            errors.add_metric((name,), host.errors)
            told = node.status(host.time.now())
            for what in sorted(STATE & told.keys()):
                if isinstance(number := told[what], int | float):
                    state.add_metric((name, what), number)
            held = told.get("store")
            for what, number in held.items() if isinstance(held, dict) else ():
                if what in STORED:
                    stored.add_metric((name, what), number)
            if host.trail:
                trail.add_metric((name,), host.trail.size)
            for gauge, number in {
                "joined": host.joined,
                "storage_fault": host.fault is not None,
                "uptime_seconds": host.uptime,
            }.items():
                families[gauge].add_metric((name,), number)
        yield from (counts, datagrams, errors, state, stored, trail, *families.values())
        yield GaugeMetricFamily(
            "qisguard_event_loop_lag_seconds", "how late the loop was last", value=self._lag.last
        )
        yield GaugeMetricFamily(
            "qisguard_event_loop_lag_worst_seconds",
            "how late the loop was at most",
            value=self._lag.worst,
        )
