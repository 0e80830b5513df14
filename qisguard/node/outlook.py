"""What a node tells an operation that starts: whom it knows, and in whose name it signs."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from qisguard.config import NodeConfig
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId
from qisguard.identity.network import Network
from qisguard.identity.roster import Roster
from qisguard.node.checks import Checks
from qisguard.node.contact import Contact
from qisguard.node.operations import Surroundings
from qisguard.node.routing import RoutingTable
from qisguard.node.survey import Survey
from qisguard.plugins import Clock, Defense, Inspects, Routes
from qisguard.session.sessions import Sessions
from qisguard.store.record import IndexRecord, ProviderRecord, sign_index, sign_record
from qisguard.store.store import Store

FLAGGED = "flagged: ids crowd around a key"
"""What is counted when a detector raises its flag."""


class Outlook:
    """Makes the ``Surroundings`` of operations."""

    def __init__(
        self,
        me: Contact,
        identity: Identity,
        network: Network,
        config: NodeConfig,
        clock: Clock,
        roster: Roster | None,
        store: Store,
        checks: Checks,
        defenses: Sequence[Defense],
        table: RoutingTable,
        survey: Survey,
        sessions: Sessions,
        bootstraps: Sequence[Contact],
        counts: Counter[str],
    ) -> None:
        self._bootstraps = bootstraps
        self._me = me
        self._identity = identity
        self._network = network
        self._config = config
        self._clock = clock
        self._roster = roster
        self._store = store
        self._checks = checks
        self._routes = [d for d in defenses if isinstance(d, Routes)]
        self._detectors = [d for d in defenses if isinstance(d, Inspects)]
        self._table = table
        self._survey = survey
        self._sessions = sessions
        self._counts = counts
        self._record_seq = 0

    def at(self, now: float) -> Surroundings:
        """Return what an operation that starts at ``now`` needs to know."""
        return Surroundings(
            self._me,
            self._config,
            self._roster,
            self._network.id,
            self._clock.day(now),
            self._survey.size(),
            self._store,
            self._checks,
            partial(_keep, self._routes, self._me.id, now),
            self._near,
            self._known,
            partial(self._record, now),
            partial(self._index, now),
            self._inspect,
        )

    def _near(self, target: NodeId) -> list[Contact]:
        """Return where a look-up starts: the closest contacts; bootstraps while few are known."""
        near = self._table.closest(target, max(self._config.k, self._config.disjoint_paths))
        known = {contact.id for contact in near}
        if len(near) < self._config.k:
            near += [c for c in self._bootstraps if c.id not in known]
        return near

    def _known(self, identifier: NodeId) -> Contact | None:
        """Return a contact that proved its id in a session which is open, or this node itself."""
        if identifier == self._me.id:
            return self._me
        session = self._sessions.get(identifier)
        return Contact(identifier, session.address) if session else None

    def _inspect(self, place: NodeId, found: Sequence[Contact]) -> tuple[str, ...]:
        """Return the flags that detectors raise about the ids around a place; count if there are.

        The network has at least as many nodes as were found.
        """
        ids = [contact.id for contact in found]
        size = max(self._survey.size(), float(len(ids)))
        refusals = [detector.inspect(place, ids, size) for detector in self._detectors]
        flags = tuple(refusal.reason for refusal in refusals if refusal)
        if flags:
            self._counts[FLAGGED] += 1
        return flags

    def _record(self, now: float, place: NodeId) -> ProviderRecord:
        expires, seq = self._expiry_and_seq(now)
        return sign_record(place, self._identity.key, expires, seq, self._network.id)

    def _index(self, now: float, key: bytes) -> IndexRecord:
        expires, seq = self._expiry_and_seq(now)
        return sign_index(key, self._identity.key, expires, seq, self._network.id)

    def _expiry_and_seq(self, now: float) -> tuple[int, int]:
        """Sequence numbers are milliseconds at least, so that they rise over restarts."""
        self._record_seq = max(self._record_seq + 1, int(now * 1_000))
        return int(now + self._config.record_lifetime), self._record_seq


def _keep(
    routes: Sequence[Routes],
    own: NodeId,
    now: float,
    target: NodeId,
    contacts: Sequence[Contact],
) -> Sequence[Contact]:
    """Return the look-up candidates that every ``route`` defence keeps, without ourselves."""
    kept: Sequence[Contact] = [c for c in contacts if c.id != own]
    for rule in routes:
        kept = rule.route(target, kept, now)
    return kept
