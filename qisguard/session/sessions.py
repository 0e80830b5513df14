"""Sessions: a SIGMA-style handshake behind a stateless cookie, then sealed messages.

The whole protocol is specified in ``docs/spec/wire.md``.

- ``initiator`` and ``responder`` hold the two sides of the handshake, ``session_table`` what is
  open, ``channel`` one session. This module joins them and decides which session is used.
- Each side signs the transcript with its identity key; the client's signature names the server it
  wants, the server's covers the client's: neither can be replayed to somebody else.
- One key a direction; the nonce is a counter that never repeats; sessions die with the process.
- A session belongs to one address: a datagram from elsewhere is dropped, so nobody can be made a
  reflector.
- A successor is used for sending only after the peer was heard in it; its predecessor goes on
  receiving until it is idle: nothing is lost when keys change.
- Failures are counted, never raised.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from qisguard.config import NodeConfig
from qisguard.errors import QisguardError
from qisguard.identity.address import Address
from qisguard.identity.descriptor import Descriptor, Identity
from qisguard.identity.ids import NodeId
from qisguard.identity.puzzle import Draw
from qisguard.outcomes.packet import Verify
from qisguard.session import wire
from qisguard.session.channel import COUNTER_MAX, COUNTER_REKEY, Session, nonce_of
from qisguard.session.hearsay import Informant
from qisguard.session.initiator import Initiator
from qisguard.session.known import Known, OpenDescriptor
from qisguard.session.responder import Responder
from qisguard.session.successors import Successors
from qisguard.session.table import Organisation, SessionTable, by_network

CHECK_PERIOD = 60.0
"""How often, in seconds, open sessions are compared with the expiry of their descriptors."""
SERVER_PATIENCE = 1.25
"""The server's side waits that much longer before it renews, so that rarely both do at once."""
REKEY_PAUSE = 0.125
"""A failed renewal is tried again after this share of ``session_rekey_after``."""
KNOWN_MAX = 1_024
"""Descriptors remembered as good, at most 512 bytes each, until the next check."""
EMPTIES_MAX = 64
"""Empty messages that are answered in one session; a successor needs a handful."""


class Opened(NamedTuple):
    """A session can be used for sending; it opened here without words of the peer."""

    session: Session


class Plain(NamedTuple):
    """An authentic message from ``session.peer``; ``is_first`` when it opened the session here."""

    session: Session
    data: bytes
    is_first: bool


def _always(descriptor: Descriptor) -> bool:
    return True


class Sessions:
    """All sessions and handshakes of one node.

    ``descriptor`` is our signed descriptor; it may be replaced at any time. ``organisation`` names
    the group that shares places in the table; ``is_current`` tells whether a peer's descriptor is
    still valid and is asked once a minute.
    """

    def __init__(
        self,
        identity: Identity,
        config: NodeConfig,
        draw: Draw,
        verify: Verify,
        open_descriptor: OpenDescriptor,
        counts: Counter[str],
        organisation: Organisation = by_network,
        is_current: Callable[[Descriptor], bool] = _always,
    ) -> None:
        self.descriptor = b""
        self.outbox: list[tuple[bytes, Address]] = []
        self._config = config
        self._counts = counts
        self._is_current = is_current
        self._known = Known(open_descriptor, KNOWN_MAX)
        self._responder = Responder(identity, config, draw, verify, self._known, counts)
        self._initiator = Initiator(identity, config, draw, verify, self._known, counts)
        self._table = SessionTable(config, organisation, counts)
        self._open = self._table.by_name
        self._successors = Successors(config)
        self._by_peer: dict[NodeId, Session] = {}
        self._next_check = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def sizes(self) -> dict[str, int]:
        """Return the size of every table, for people and for tests: each has a bound."""
        return {
            **self._table.sizes(),
            "peers in use": len(self._by_peer),
            "successors": len(self._successors),
            "descriptors": len(self._known),
            **self._responder.sizes(),
            **self._initiator.sizes(),
        }

    def get(self, peer: NodeId) -> Session | None:
        """Return the session to use for ``peer``."""
        return self._by_peer.get(peer)

    def connect(
        self,
        peer: NodeId,
        address: Address,
        now: float,
        proven: bool = False,
        wait: float | None = None,
        informants: Sequence[NodeId] = (),
    ) -> bool:
        """Start a handshake unless one is under way; return False when there are too many.

        What is under way at another address does not count: that may be a liar's hearsay. With
        ``proven``, this address has proved this id before, and the limits on hearsay do not apply.
        ``wait`` is how long the first answer may take, by default ``handshake_timeout``.
        ``informants`` are the peers that named the address: they answer for it.
        """
        current = self._by_peer.get(peer)
        if current is not None and current.address == address:
            current.rekey_not_before = now + REKEY_PAUSE * self._config.session_rekey_after
            proven = True
        started, datagrams = self._initiator.start(
            peer,
            address,
            now,
            wait or self._config.handshake_timeout,
            None if proven else [*dict.fromkeys(map(self._informant, informants))],
        )
        self.outbox += datagrams
        return started

    def needs_rekey(self, session: Session, now: float) -> bool:
        """Return whether ``session`` is in use and old enough to be replaced: ``connect`` again."""
        if self._by_peer.get(session.peer) is not session or now < session.rekey_not_before:
            return False
        patience = self._config.session_rekey_after
        if not session.is_initiator:
            patience *= SERVER_PATIENCE
        is_old = now - session.opened >= patience
        return is_old or max(session.counter, session.highest) >= COUNTER_REKEY

    def send(self, session: Session, plaintext: bytes) -> None:
        """Put the datagram that carries ``plaintext`` to the session's peer into the outbox."""
        self.outbox.append((self.seal(session, plaintext), session.address))

    def seal(self, session: Session, plaintext: bytes) -> bytes:
        """Return the datagram that carries ``plaintext`` to the session's peer."""
        counter = session.counter
        header = wire.seal_header(session.send_id, counter)
        session.counter = counter + 1
        if session.counter >= COUNTER_MAX:
            self.close(session)
        return header + session.sender.encrypt(nonce_of(counter), plaintext, header)

    def receive(self, data: bytes, source: Address, now: float) -> Opened | Plain | None:
        """Take a datagram; return what it opened or said, or None. Never raises on bad input."""
        try:
            datagram = wire.decode(data)
            if isinstance(datagram, wire.Sealed):
                return self._receive_sealed(datagram, source, now)
            if isinstance(datagram, wire.Accept):
                return self._receive_accept(datagram, source, now)
            if isinstance(datagram, wire.Auth):
                self._receive_auth(datagram, source, now)
            elif isinstance(datagram, wire.Cookie):
                self.outbox += self._initiator.receive_cookie(
                    datagram, source, now, self.descriptor
                )
            elif answer := self._responder.receive_hello(datagram, source, now):
                self.outbox.append((answer, source))
        except QisguardError as error:
            self._counts[f"dropped: {type(error).__name__}"] += 1
        return None

    def next_timer(self) -> float | None:
        """Return when the next handshake is due for another try."""
        first = self._initiator.next_timer()
        if not len(self._successors):
            return first
        second = self._successors.next_timer()
        if first is None or second is None:
            return second if first is None else first
        return min(first, second)

    def handle_timer(self, now: float) -> Iterator[tuple[NodeId, Address]]:
        """Repeat what was not answered, forget idle sessions; return who stayed silent, where."""
        datagrams, silent = self._initiator.handle_timer(now)
        self.outbox += datagrams
        for session in self._successors.handle_timer(now):
            self.send(session, b"")
        for session in self._table.expired(now):
            self.close(session)
        if now >= self._next_check:
            self._next_check = now + CHECK_PERIOD
            self._known.forget()
            for session in [s for s in self._open.values() if not self._is_current(s.descriptor)]:
                self.close(session)
                self._counts["sessions ended by their descriptor"] += 1
        return iter(silent)

    def close(self, session: Session) -> None:
        """Forget a session; the next message to its peer opens a new one."""
        self._table.remove(session)
        self._left(session)

    def _informant(self, peer: NodeId) -> Informant:
        """Return who answers for what a peer said: its organisation, or network.

        Where all share one address that says nothing, and the peer answers itself.
        """
        session = self._by_peer.get(peer)
        return session.group if session and self._config.address_diversity else peer

    def _use(self, session: Session) -> None:
        """Send in this session from now on."""
        if before := self._by_peer.get(session.peer):
            before.in_use = False
        session.in_use = True
        self._by_peer[session.peer] = session

    def _left(self, session: Session) -> None:
        """A session is no longer in the table."""
        self._successors.drop(session)
        if self._by_peer.get(session.peer) is session:
            del self._by_peer[session.peer]

    # --- handshakes ------------------------------------------------------------------------------
    def _receive_auth(self, auth: wire.Auth, source: Address, now: float) -> None:
        answer = self._responder.receive_auth(auth, source, now, self.descriptor, self._sequence)
        if isinstance(answer, Session):
            self._add(answer, now)
            answer = answer.accept
        if answer:
            self.outbox.append((answer, source))

    def _receive_accept(self, accept: wire.Accept, source: Address, now: float) -> Opened | None:
        session = self._initiator.receive_accept(accept, source, now, self._sequence)
        if session is None:
            return None
        is_successor = session.peer in self._by_peer
        session.confirmed = not is_successor
        self._add(session, now)
        if is_successor:
            self._successors.begin(session, now)
            self.send(session, b"")
            return None
        self._use(session)
        return Opened(session)

    def _add(self, session: Session, now: float) -> None:
        for gone in self._table.add(session, now):
            self._left(gone)

    def _sequence(self, peer: NodeId) -> int:
        return max((s.descriptor.seq for s in self._table.of_peer(peer)), default=-1)

    # --- sealed datagrams ------------------------------------------------------------------------
    def _receive_sealed(
        self, sealed: wire.Sealed, source: Address, now: float
    ) -> Opened | Plain | None:
        name, counter, ciphertext, header = sealed
        session = self._open.get(name)
        if session is None or session.address != source:
            self._counts["dropped: no such session"] += 1
            return None
        if not session.is_fresh(counter):
            self._counts["dropped: replayed or stale counter"] += 1
            return None
        try:
            plaintext = session.receiver.decrypt(nonce_of(counter), ciphertext, header)
        except InvalidTag:
            self._counts["dropped: seal broken"] += 1
            return None
        session.mark(counter)
        session.last = now
        self._table.touch(session)
        if session.confirmed and plaintext:
            return Plain(session, plaintext, False)
        return self._confirm(session, plaintext)

    def _confirm(self, session: Session, plaintext: bytes) -> Opened | Plain | None:
        """The peer was heard in a session for the first time, or said nothing at all."""
        is_first = not session.confirmed
        if is_first:
            self._table.confirm(session)
            self._successors.drop(session)
            self._use(session)
        if plaintext:
            return Plain(session, plaintext, is_first)
        if not session.is_initiator and session.empties < EMPTIES_MAX:
            session.empties += 1
            self.send(session, b"")
        return Opened(session) if is_first else None
