"""The open sessions: bounded, and fair when full.

- One identity holds at most ``SESSIONS_PER_PEER_MAX``; with too many it loses its own.
- When the table is full, a session that its client did not use in time goes first; then the one
  idle for longest in the *largest group*, an organisation or a network. A thousand paid identities
  of one organisation push each other out and nobody else.
- A client that is just about to confirm counts in its group like everybody: were it always first to
  go, one identity in a hurry could keep all newcomers out of a full table.
- Every step costs the same whatever the size of the table.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence

from qisguard.config import NodeConfig
from qisguard.identity.address import Address, network_of
from qisguard.identity.descriptor import Descriptor
from qisguard.identity.ids import NodeId
from qisguard.session.channel import Session

SESSIONS_PER_PEER_MAX = 4
"""Both sides may connect at once, and again after a restart that the other has not noticed."""

Organisation = Callable[[Descriptor, Address], str]
"""Names the group whose share of the table a peer takes."""


def by_network(descriptor: Descriptor, address: Address) -> str:
    """Return the group of a peer that no roster names: the network it speaks from."""
    return f"net:{network_of(address[0]):x}"


class SessionTable:
    """Sessions by the name that their peers write on datagrams to us: ``by_name``."""

    def __init__(
        self, config: NodeConfig, organisation: Organisation, counts: Counter[str]
    ) -> None:
        self.by_name: OrderedDict[bytes, Session] = OrderedDict()  # longest idle first
        self._config = config
        self._organisation = organisation
        self._counts = counts
        self._unconfirmed: OrderedDict[bytes, Session] = OrderedDict()  # oldest first
        self._of_peer: dict[NodeId, list[Session]] = {}
        self._groups = _Groups()

    def __len__(self) -> int:
        return len(self.by_name)

    def sizes(self) -> dict[str, int]:
        """Return the size of everything that grows here."""
        return {
            "sessions": len(self.by_name),
            "sessions unconfirmed": len(self._unconfirmed),
            "peers": len(self._of_peer),
            "groups": len(self._groups.members),
        }

    def of_peer(self, peer: NodeId) -> Sequence[Session]:
        """Return the open sessions of one peer, oldest first."""
        return self._of_peer.get(peer, ())

    def add(self, session: Session, now: float) -> list[Session]:
        """Enter a session; return those that had to go for it."""
        gone = []
        own = self._of_peer.setdefault(session.peer, [])
        if len(own) >= SESSIONS_PER_PEER_MAX:
            gone.append(min(own, key=_worth))
            own.remove(gone[0])
            self._take_out(gone[0])
        own.append(session)
        session.group = self._organisation(session.descriptor, session.address)
        self.by_name[session.receive_id] = session
        self._groups.add(session)
        if not session.confirmed:
            self._unconfirmed[session.receive_id] = session
        while len(self.by_name) > self._config.sessions_max:
            victim = self._victim(now)
            self.remove(victim)
            gone.append(victim)
            self._counts["sessions evicted"] += 1
        return gone

    def touch(self, session: Session) -> None:
        """An authentic datagram came: the session is the last to go of its group."""
        name = session.receive_id
        self.by_name.move_to_end(name)
        self._groups.members[session.group].move_to_end(name)

    def confirm(self, session: Session) -> None:
        """The peer was heard in this session."""
        session.confirmed, session.accept = True, b""
        self._unconfirmed.pop(session.receive_id, None)

    def remove(self, session: Session) -> bool:
        """Forget a session; return whether it was there."""
        if session.is_closed:
            return False
        own = self._of_peer[session.peer]
        own.remove(session)
        if not own:
            del self._of_peer[session.peer]
        self._take_out(session)
        return True

    def expired(self, now: float) -> Iterator[Session]:
        """Return, one by one, what is idle or was never used; the caller removes each."""
        patience = self._config.session_unconfirmed
        while self._unconfirmed:
            oldest = next(iter(self._unconfirmed.values()))
            if now - oldest.opened < patience:
                break
            self._counts["sessions never used"] += 1
            yield oldest
        while self.by_name:
            oldest = next(iter(self.by_name.values()))
            if now - oldest.last < self._config.session_idle:
                break
            yield oldest

    def _take_out(self, session: Session) -> None:
        session.is_closed = True
        del self.by_name[session.receive_id]
        self._unconfirmed.pop(session.receive_id, None)
        self._groups.remove(session)

    def _victim(self, now: float) -> Session:
        if self._unconfirmed:
            oldest = next(iter(self._unconfirmed.values()))
            if now - oldest.opened >= self._config.handshake_timeout:
                return oldest
        idle = next(iter(self.by_name.values()))
        return idle if self._groups.is_largest(idle.group) else self._groups.idle_of_largest()


def _worth(session: Session) -> tuple[bool, bool, float]:
    """Order the sessions of one identity: what a replayed Auth could have opened goes first."""
    return session.in_use, session.confirmed or session.is_initiator, session.last


class _Groups:
    """Sessions of each group, longest idle first; and the groups of each size."""

    def __init__(self) -> None:
        self.members: dict[str, OrderedDict[bytes, Session]] = {}
        self._of_size: dict[int, OrderedDict[str, None]] = {}
        self._largest = 0

    def add(self, session: Session) -> None:
        members = self.members.setdefault(session.group, OrderedDict())
        members[session.receive_id] = session
        self._resize(session.group, len(members) - 1, len(members))

    def remove(self, session: Session) -> None:
        members = self.members[session.group]
        del members[session.receive_id]
        if not members:
            del self.members[session.group]
        self._resize(session.group, len(members) + 1, len(members))

    def is_largest(self, group: str) -> bool:
        return len(self.members[group]) == self._largest

    def idle_of_largest(self) -> Session:
        group = next(iter(self._of_size[self._largest]))
        return next(iter(self.members[group].values()))

    def _resize(self, group: str, before: int, after: int) -> None:
        """Move a group by one step; the largest size moves by at most one with it."""
        if before:
            same = self._of_size[before]
            del same[group]
            if not same:
                del self._of_size[before]
        if after:
            self._of_size.setdefault(after, OrderedDict())[group] = None
        if after > self._largest or (before == self._largest and before not in self._of_size):
            self._largest = after
