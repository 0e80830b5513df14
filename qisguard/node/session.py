"""Sessions: a SIGMA-style handshake behind a stateless cookie, then sealed messages.

- Before the cookie returned: no state, no Diffie-Hellman, no signature check; the answer is shorter
  than the question; only one budget for everybody.
- Each side signs the transcript with its identity key; the client's signature names the server it
  wants, the server's covers the client's: neither can be replayed to somebody else.
- One Auth opens one session, and one identity holds at most ``SESSIONS_PER_PEER_MAX``: neither a
  replay nor a peer in a hurry pushes others out.
- Keys come from ``crypto_kx`` over fresh ephemerals and are bound to the transcript hash; one key a
  direction; the nonce is a counter that never repeats; sessions die with the process.
- A session belongs to one address: a datagram from elsewhere is dropped, so nobody can be made a
  reflector.
- Failures are counted, never raised.
"""

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from nacl.bindings import (
    crypto_kx_client_session_keys,
    crypto_kx_seed_keypair,
    crypto_kx_server_session_keys,
)
from nacl.exceptions import CryptoError

from qisguard.errors import QisguardError
from qisguard.identity.descriptor import Address, Descriptor, Identity
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import ACCEPT_TAG, AUTH_TAG
from qisguard.identity.puzzle import Draw
from qisguard.node import wire
from qisguard.node.budget import Budget, Budgets
from qisguard.node.channel import COUNTER_MAX, Session, bind, nonce_of
from qisguard.node.config import NodeConfig
from qisguard.node.messages import pack_host
from qisguard.outcomes.packet import Verify

SESSIONS_PER_PEER_MAX = 4
"""Both sides may connect at once, and again after a restart that the other has not noticed."""

OpenDescriptor = Callable[[bytes], Descriptor]
"""Checks a peer's descriptor for this network and day; raises QisguardError."""


@dataclass(slots=True)
class _Handshake:
    """A handshake that this node started."""

    peer: NodeId
    address: Address
    nonce: bytes
    public: bytes
    secret: bytes = field(repr=False)
    datagram: bytes
    deadline: float
    tries: int = 1
    auth_hash: bytes = b""

    @property
    def session(self) -> bytes:
        """Return the name that the server shall write on datagrams to us."""
        return self.nonce[: wire.SESSION_SIZE]


@dataclass(frozen=True, slots=True)
class Opened:
    """This node's handshake is complete: the session can be used."""

    session: Session


@dataclass(frozen=True, slots=True)
class Plain:
    """An authentic message from ``session.peer``; ``is_first`` when it opened the session here."""

    session: Session
    data: bytes
    is_first: bool


class Sessions:
    """All sessions and handshakes of one node."""

    def __init__(
        self,
        identity: Identity,
        config: NodeConfig,
        draw: Draw,
        verify: Verify,
        open_descriptor: OpenDescriptor,
        counts: Counter[str],
    ) -> None:
        self._identity = identity
        self._me = to_bytes(identity.id)
        self._config = config
        self._draw = draw
        self._verify = verify
        self._open_descriptor = open_descriptor
        self._counts = counts
        self._cookie_key = draw(32)
        self._hellos = Budget(config.hellos_per_second)
        self._auths = Budgets(config.auths_per_second, config.addresses_tracked_max)
        self._open: OrderedDict[bytes, Session] = OrderedDict()
        self._by_peer: dict[NodeId, Session] = {}
        self._of_peer: dict[NodeId, list[Session]] = {}
        self._accepted: OrderedDict[bytes, Session] = OrderedDict()
        self._handshakes: dict[bytes, _Handshake] = {}
        self._connecting: dict[tuple[NodeId, Address], _Handshake] = {}
        self.descriptor = b""
        self.outbox: list[tuple[bytes, Address]] = []

    def __len__(self) -> int:
        return len(self._open)

    def get(self, peer: NodeId) -> Session | None:
        """Return the session to use for ``peer``."""
        return self._by_peer.get(peer)

    def connect(self, peer: NodeId, address: Address, now: float) -> bool:
        """Start a handshake unless one is under way; return False when there are too many.

        What is under way at another address does not count: that may be a liar's hearsay.
        """
        if (peer, address) in self._connecting:
            return True
        if len(self._handshakes) >= self._config.handshakes_open_max:
            self._counts["handshake table full"] += 1
            return False
        public, secret = crypto_kx_seed_keypair(self._draw(32))
        nonce = self._draw(wire.NONCE_SIZE)
        hello = wire.Hello(nonce, public, to_bytes(peer)).encode()
        deadline = now + self._config.handshake_timeout
        handshake = _Handshake(peer, address, nonce, public, secret, hello, deadline)
        self._handshakes[handshake.session] = handshake
        self._connecting[peer, address] = handshake
        self.outbox.append((hello, address))
        return True

    def send(self, session: Session, plaintext: bytes) -> None:
        """Put the datagram that carries ``plaintext`` to the session's peer into the outbox."""
        self.outbox.append((self.seal(session, plaintext), session.address))

    def seal(self, session: Session, plaintext: bytes) -> bytes:
        """Return the datagram that carries ``plaintext`` to the session's peer."""
        header = wire.seal_header(session.send_id, session.counter)
        nonce = nonce_of(session.counter)
        session.counter += 1
        if session.counter >= COUNTER_MAX:
            self.close(session)
        return header + session.sender.encrypt(nonce, plaintext, header)

    def receive(self, data: bytes, source: Address, now: float) -> Opened | Plain | None:
        """Take a datagram; return what it opened or said, or None. Never raises on bad input."""
        try:
            datagram = wire.decode(data)
            if isinstance(datagram, wire.Sealed):
                return self._receive_sealed(datagram, source, now)
            if isinstance(datagram, wire.Accept):
                return self._receive_accept(datagram, source, now)
            if isinstance(datagram, wire.Hello):
                self._receive_hello(datagram, source, now)
            elif isinstance(datagram, wire.Cookie):
                self._receive_cookie(datagram, source, now)
            else:
                self._receive_auth(datagram, source, now)
        except QisguardError as error:
            self._counts[f"dropped: {type(error).__name__}"] += 1
        return None

    def next_timer(self) -> float | None:
        """Return when the next handshake is due for another try."""
        return min((h.deadline for h in self._handshakes.values()), default=None)

    def handle_timer(self, now: float) -> Iterator[tuple[NodeId, Address]]:
        """Repeat what was not answered, forget idle sessions, yield who stayed silent and where."""
        for handshake in [h for h in self._handshakes.values() if h.deadline <= now]:
            if handshake.tries >= self._config.handshake_tries:
                self._forget(handshake)
                yield handshake.peer, handshake.address
                continue
            handshake.tries += 1
            handshake.deadline = now + self._config.handshake_timeout
            self.outbox.append((handshake.datagram, handshake.address))
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.last < self._config.session_idle:
                break
            self.close(oldest)

    def close(self, session: Session) -> None:
        """Forget a session; the next message to its peer opens a new one."""
        if self._open.pop(session.receive_id, None):
            others = [s for s in self._of_peer.pop(session.peer) if s is not session]
            if others:
                self._of_peer[session.peer] = others
        if self._by_peer.get(session.peer) is session:
            del self._by_peer[session.peer]

    # --- the server's side -----------------------------------------------------------------------
    def _receive_hello(self, hello: wire.Hello, source: Address, now: float) -> None:
        if hello.server != self._me:
            self._counts["dropped: hello for another node"] += 1
        elif not self._hellos.spend(now):
            self._counts["dropped: hello budget"] += 1
        else:
            cookie = self._bake(hello.nonce, hello.ephemeral, source, int(now * 1000))
            self.outbox.append((wire.Cookie(hello.nonce, cookie).encode(), source))

    def _bake(self, nonce: bytes, ephemeral: bytes, source: Address, stamp: int) -> bytes:
        """Return time ‖ MAC over address, nonce, ephemeral and time: nothing is remembered."""
        time = struct.pack("!Q", stamp)
        where = pack_host(source[0]) + struct.pack("!H", source[1])
        mac = blake2b(
            where + nonce + ephemeral + time, key=self._cookie_key, digest_size=32
        ).digest()
        return time + mac

    def _receive_auth(self, auth: wire.Auth, source: Address, now: float) -> None:
        (stamp,) = struct.unpack_from("!Q", auth.cookie)
        age = now - stamp / 1000
        if not -0.001 <= age <= self._config.cookie_lifetime:
            self._counts["dropped: cookie too old"] += 1
            return
        if not compare_digest(auth.cookie, self._bake(auth.nonce, auth.ephemeral, source, stamp)):
            self._counts["dropped: cookie of another"] += 1
            return
        transcript = sha256(AUTH_TAG + self._me + auth.unsigned()).digest()
        if known := self._accepted.get(transcript + auth.signature):
            if known.accept:  # our Accept was lost; a second one must be the same bytes
                self.outbox.append((known.accept, source))
            return
        if not self._auths.spend(_payer(source[0]), now):
            self._counts["dropped: auth budget of an address"] += 1
            return
        descriptor = self._open_descriptor(auth.descriptor)
        self._verify(descriptor.key, AUTH_TAG, transcript, auth.signature)
        self._accept(auth, transcript, descriptor, source, now)

    def _accept(
        self,
        auth: wire.Auth,
        transcript: bytes,
        descriptor: Descriptor,
        source: Address,
        now: float,
    ) -> None:
        public, secret = crypto_kx_seed_keypair(self._draw(32))
        try:
            keys = crypto_kx_server_session_keys(public, secret, auth.ephemeral)
        except CryptoError:
            self._counts["dropped: unusable ephemeral"] += 1
            return
        receive_id = self._draw(wire.SESSION_SIZE)
        accept = wire.Accept(auth.session, receive_id, public, self.descriptor, b"")
        final = sha256(ACCEPT_TAG + transcript + auth.signature + accept.unsigned()).digest()
        datagram = accept.unsigned() + self._identity.key.sign(ACCEPT_TAG, final)
        session = Session(
            descriptor, source, receive_id, auth.session, *bind(keys, final), now, False, datagram
        )
        self._accepted[transcript + auth.signature] = session
        while len(self._accepted) > self._config.handshakes_open_max:
            self._accepted.popitem(last=False)
        self._add(session)
        self.outbox.append((datagram, source))

    # --- the client's side -----------------------------------------------------------------------
    def _receive_cookie(self, cookie: wire.Cookie, source: Address, now: float) -> None:
        handshake = self._handshakes.get(cookie.nonce[: wire.SESSION_SIZE])
        if (
            handshake is None
            or handshake.nonce != cookie.nonce
            or handshake.address != source
            or handshake.auth_hash
        ):
            self._counts["dropped: cookie nobody asked for"] += 1
            return
        auth = wire.Auth(
            handshake.nonce,
            handshake.public,
            cookie.cookie,
            handshake.session,
            self.descriptor,
            b"",
        )
        unsigned = auth.unsigned()
        transcript = sha256(AUTH_TAG + to_bytes(handshake.peer) + unsigned).digest()
        signature = self._identity.key.sign(AUTH_TAG, transcript)
        handshake.auth_hash = transcript + signature
        handshake.datagram = unsigned + signature
        handshake.tries = 1
        handshake.deadline = now + self._config.handshake_timeout
        self.outbox.append((handshake.datagram, source))

    def _receive_accept(self, accept: wire.Accept, source: Address, now: float) -> Opened | None:
        handshake = self._handshakes.get(accept.client_session)
        if handshake is None or handshake.address != source or not handshake.auth_hash:
            self._counts["dropped: accept nobody asked for"] += 1
            return None
        descriptor = self._open_descriptor(accept.descriptor)
        if descriptor.id != handshake.peer:
            self._counts["dropped: accept by another identity"] += 1
            return None
        final = sha256(ACCEPT_TAG + handshake.auth_hash + accept.unsigned()).digest()
        self._verify(descriptor.key, ACCEPT_TAG, final, accept.signature)
        try:
            keys = crypto_kx_client_session_keys(
                handshake.public, handshake.secret, accept.ephemeral
            )
        except CryptoError:
            self._counts["dropped: unusable ephemeral"] += 1
            return None
        self._forget(handshake)
        names = (handshake.session, accept.server_session)
        session = Session(descriptor, source, *names, *bind(keys, final), now, True)
        self._add(session)
        self._by_peer[session.peer] = session
        return Opened(session)

    # --- both ------------------------------------------------------------------------------------
    def _receive_sealed(self, sealed: wire.Sealed, source: Address, now: float) -> Plain | None:
        session = self._open.get(sealed.session)
        if session is None or session.address != source:
            self._counts["dropped: no such session"] += 1
            return None
        if not session.is_fresh(sealed.counter):
            self._counts["dropped: replayed or stale counter"] += 1
            return None
        try:
            nonce = nonce_of(sealed.counter)
            plaintext = session.receiver.decrypt(nonce, sealed.ciphertext, sealed.header)
        except InvalidTag:
            self._counts["dropped: seal broken"] += 1
            return None
        session.mark(sealed.counter)
        session.last = now
        self._open.move_to_end(session.receive_id)
        is_first = not session.confirmed
        if is_first:
            session.confirmed, session.accept = True, b""
            self._by_peer[session.peer] = session
        return Plain(session, plaintext, is_first)

    def _add(self, session: Session) -> None:
        """Enter a session; when the table is full the one idle for longest goes.

        An identity that has too many loses its own: one never used if there is one.
        """
        own = self._of_peer.get(session.peer, [])
        if len(own) >= SESSIONS_PER_PEER_MAX:
            self.close(min(own, key=lambda s: (s.confirmed, s.last)))
        while len(self._open) >= self._config.sessions_max:
            self.close(next(iter(self._open.values())))
            self._counts["sessions evicted"] += 1
        self._open[session.receive_id] = session
        self._of_peer.setdefault(session.peer, []).append(session)

    def _forget(self, handshake: _Handshake) -> None:
        self._handshakes.pop(handshake.session, None)
        self._connecting.pop((handshake.peer, handshake.address), None)


def _payer(host: str) -> bytes:
    """Return whose budget pays: an IPv4 address, or the /64 that one IPv6 site owns."""
    return pack_host(host)[:8]
