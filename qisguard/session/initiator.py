"""Handshakes that this node started: Hello, an Auth for each cookie, until an Accept verifies.

- Several cookies may come for one Hello, and only one is the server's: an observer who saw the
  nonce can make up others. Up to ``COOKIES_MAX`` are answered; the Accept that verifies decides.
- What was not answered is repeated, with waits that double every second time: where datagrams are
  lost two quick tries are worth more than a patient one. An Auth whose cookie grew old is dropped,
  and without one the Hello goes out again.
- An Accept costs signature checks, so they have a budget for each address.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from nacl.bindings import crypto_kx_seed_keypair

from qisguard.config import NodeConfig
from qisguard.errors import ProofError
from qisguard.identity.address import Address, site_of
from qisguard.identity.descriptor import Descriptor, Identity
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.identity.keys import ACCEPT_TAG, AUTH_TAG
from qisguard.identity.puzzle import Draw
from qisguard.outcomes.packet import Verify
from qisguard.session import wire
from qisguard.session.budget import Budgets
from qisguard.session.channel import Session
from qisguard.session.hearsay import Hearsay, Informant, Tip
from qisguard.session.known import OpenDescriptor
from qisguard.session.transcript import accept_hash, auth_hash, client_ciphers

COOKIES_MAX = 3
"""Different cookies of one handshake that are answered at a time."""

Datagrams = list[tuple[bytes, Address]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An Auth that answers one cookie; ``hash`` is what its signature covers."""

    hash: bytes
    signature: bytes
    datagram: bytes
    made: float


@dataclass(slots=True)
class Handshake:
    """A handshake that this node started; ``tip`` unless the address proved this id before."""

    peer: NodeId
    address: Address
    nonce: bytes
    public: bytes
    secret: bytes = field(repr=False)
    hello: bytes
    tip: Tip | None
    deadline: float
    first_wait: float
    tries: int = 1
    was_answered: bool = False
    answers: dict[bytes, Answer] = field(default_factory=dict)

    @property
    def session(self) -> bytes:
        """Return the name that the server shall write on datagrams to us."""
        return self.nonce[: wire.SESSION_SIZE]


class Initiator:
    """The client's side of all handshakes of one node."""

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
        self._config = config
        self._draw = draw
        self._verify = verify
        self._open_descriptor = open_descriptor
        self._counts = counts
        self._hearsay = Hearsay(config)
        self._accepts = Budgets(config.auths_per_second, config.addresses_tracked_max)
        self._handshakes: dict[bytes, Handshake] = {}
        self._at: dict[tuple[NodeId, Address], Handshake] = {}
        self._due: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._handshakes)

    def sizes(self) -> dict[str, int]:
        """Return the size of everything that grows here."""
        return {
            "handshakes": len(self._handshakes),
            "handshakes by address": len(self._at),
            **self._hearsay.sizes(),
            "accept budgets": len(self._accepts),
        }

    def start(
        self,
        peer: NodeId,
        address: Address,
        now: float,
        wait: float,
        informants: Sequence[Informant] | None,
    ) -> tuple[bool, Datagrams]:
        """Start a handshake unless one is under way; return False when there are too many.

        ``wait`` is how long to wait for the first answer, in seconds; ``informants`` named the
        address, and are None when it proved this id before.
        """
        if known := self._at.get((peer, address)):
            return True, self._prove(known, now) if informants is None else []
        if len(self._handshakes) >= self._config.handshakes_open_max:
            self._counts["handshake table full"] += 1
            return False, []
        tip = None if informants is None else self._hearsay.take(address, informants, now)
        if isinstance(tip, str):
            self._counts[f"not connected: {tip}"] += 1
            return False, []
        public, secret = crypto_kx_seed_keypair(self._draw(32))
        nonce = self._draw(wire.NONCE_SIZE)
        hello = wire.Hello(nonce, public, to_bytes(peer)).encode()
        has_to_wait = tip is not None and tip.waiting is not None
        due = tip.turn if tip and has_to_wait else now + wait
        handshake = Handshake(peer, address, nonce, public, secret, hello, tip, due, wait)
        self._handshakes[handshake.session] = handshake
        self._at[peer, address] = handshake
        self._arm(handshake)
        return True, [] if has_to_wait else [(hello, address)]

    def receive_cookie(
        self, cookie: wire.Cookie, source: Address, now: float, descriptor: bytes
    ) -> Datagrams:
        """Answer a cookie with an Auth that shows our ``descriptor``."""
        handshake = self._handshakes.get(cookie.nonce[: wire.SESSION_SIZE])
        if handshake is None or handshake.nonce != cookie.nonce or handshake.address != source:
            self._counts["dropped: cookie nobody asked for"] += 1
            return []
        if cookie.cookie in handshake.answers:
            return []  # doubled on the way; a lost Auth is repeated by the timer
        if len(handshake.answers) >= COOKIES_MAX:
            self._counts["dropped: too many cookies of one handshake"] += 1
            return []
        name = handshake.session
        fields = (handshake.nonce, handshake.public, cookie.cookie, name, descriptor, b"")
        unsigned = wire.Auth(*fields).unsigned()
        transcript = auth_hash(to_bytes(handshake.peer), unsigned)
        signature = self._identity.key.sign(AUTH_TAG, transcript)
        answer = Answer(transcript, signature, unsigned + signature, now)
        handshake.answers[cookie.cookie] = answer
        if not handshake.was_answered:  # the first cookie starts the second leg, no later one does
            handshake.was_answered = True
            if handshake.tip:
                self._hearsay.welcome(handshake.tip)
            handshake.tries = 1
            handshake.deadline = now + self._wait(handshake)
            self._arm(handshake)
        return [(answer.datagram, source)]

    def receive_accept(
        self,
        accept: wire.Accept,
        source: Address,
        now: float,
        sequence: Callable[[NodeId], int],
    ) -> Session | None:
        """Return the session that an Accept opens, not confirmed yet; raises QisguardError.

        ``sequence`` tells the highest descriptor sequence of a peer's open sessions, or -1.
        """
        handshake = self._handshakes.get(accept.client_session)
        if handshake is None or handshake.address != source or not handshake.answers:
            self._counts["dropped: accept nobody asked for"] += 1
            return None
        if not self._accepts.spend(site_of(source[0]), now):
            self._counts["dropped: accept budget of an address"] += 1
            return None
        descriptor = self._open_descriptor(accept.descriptor)
        if descriptor.id != handshake.peer:
            self._counts["dropped: accept by another identity"] += 1
            return None
        if descriptor.seq < sequence(descriptor.id):
            self._counts["dropped: older descriptor"] += 1
            return None
        final = self._verified(handshake, accept, descriptor)
        keys = (handshake.public, handshake.secret, accept.ephemeral)
        try:
            ciphers = client_ciphers(*keys, final)
        except ProofError:
            self._counts["dropped: unusable ephemeral"] += 1
            return None
        self._end(handshake)
        names = (handshake.session, accept.server_session)
        return Session(descriptor, source, *names, *ciphers, now, False, is_initiator=True)

    def next_timer(self) -> float | None:
        """Return when the next handshake is due for another try."""
        due = self._due
        while due and not self._is_armed(*due[0]):
            heappop(due)
        return due[0][0] if due else None

    def handle_timer(self, now: float) -> tuple[Datagrams, list[tuple[NodeId, Address]]]:
        """Return what to send again, and who stayed silent and where."""
        again: Datagrams = []
        silent = []
        while (due := self.next_timer()) is not None and due <= now:
            handshake = self._handshakes[heappop(self._due)[1]]
            if handshake.tip and handshake.tip.waiting:
                self._hearsay.go(handshake.tip)
                again += self._send_first(handshake, now)
                continue
            if handshake.tries >= self._config.handshake_tries:
                self._end(handshake)
                silent.append((handshake.peer, handshake.address))
                continue
            again += self._try_again(handshake, now)
            handshake.tries += 1
            handshake.deadline = now + self._wait(handshake)
            self._arm(handshake)
        return again, silent

    def _prove(self, handshake: Handshake, now: float) -> Datagrams:
        """The address of a handshake is proved by now: it needs no turn."""
        if (tip := handshake.tip) is None:
            return []
        has_to_wait = tip.waiting is not None
        handshake.tip = None
        self._hearsay.release(tip)
        return self._send_first(handshake, now) if has_to_wait else []

    def _send_first(self, handshake: Handshake, now: float) -> Datagrams:
        """Send the Hello that waited for its turn."""
        handshake.deadline = now + handshake.first_wait
        self._arm(handshake)
        return [(handshake.hello, handshake.address)]

    def _wait(self, handshake: Handshake) -> float:
        """Return how long to wait after the latest try."""
        longest = max(self._config.handshake_timeout_max, handshake.first_wait)
        return min(handshake.first_wait * 2.0 ** ((handshake.tries - 1) // 2), longest)

    def _try_again(self, handshake: Handshake, now: float) -> Datagrams:
        handshake.answers = {
            cookie: answer
            for cookie, answer in handshake.answers.items()
            if now - answer.made < self._config.cookie_lifetime
        }
        if handshake.answers:
            return [(answer.datagram, handshake.address) for answer in handshake.answers.values()]
        if handshake.tip is None or self._hearsay.may_repeat(handshake.tip, now):
            return [(handshake.hello, handshake.address)]
        return []

    def _verified(self, handshake: Handshake, accept: wire.Accept, descriptor: Descriptor) -> bytes:
        """Return the hash that the server signed; raise ProofError when it signed none of ours."""
        unsigned = accept.unsigned()
        for answer in handshake.answers.values():
            final = accept_hash(answer.hash, answer.signature, unsigned)
            try:
                self._verify(descriptor.key, ACCEPT_TAG, final, accept.signature)
            except ProofError:
                continue
            return final
        raise ProofError(f"accept: signature fits none of {len(handshake.answers)} Auths")

    def _end(self, handshake: Handshake) -> None:
        del self._handshakes[handshake.session]
        del self._at[handshake.peer, handshake.address]
        if handshake.tip:
            self._hearsay.release(handshake.tip)

    def _arm(self, handshake: Handshake) -> None:
        heappush(self._due, (handshake.deadline, handshake.session))
        if len(self._due) > 64 + 4 * len(self._handshakes):  # mostly of handshakes that ended
            self._due = [entry for entry in self._due if self._is_armed(*entry)]
            heapify(self._due)

    def _is_armed(self, deadline: float, name: bytes) -> bool:
        handshake = self._handshakes.get(name)
        return handshake is not None and handshake.deadline == deadline
