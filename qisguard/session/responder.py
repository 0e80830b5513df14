"""Handshakes that others start: a cookie for a Hello, an Accept for an Auth.

- Before the cookie returned: no state, no Diffie-Hellman, no signature check; the answer is shorter
  than the question; one budget for everybody.
- After it: a budget for each address, then descriptor, then signature, then keys.
- One Auth opens one session; a repeated one is answered with the same bytes while the session waits
  for its client.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

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
from qisguard.session.budget import Budget, Budgets
from qisguard.session.channel import Session
from qisguard.session.cookie import Cookies
from qisguard.session.known import OpenDescriptor
from qisguard.session.transcript import accept_hash, auth_hash, server_ciphers


class Responder:
    """The server's side of all handshakes of one node."""

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
        self._cookies = Cookies(draw(32), config.cookie_lifetime)
        self._hellos = Budget(config.hellos_per_second)
        self._auths = Budgets(config.auths_per_second, config.addresses_tracked_max)
        self._accepted: OrderedDict[bytes, Session] = OrderedDict()

    def sizes(self) -> dict[str, int]:
        """Return the size of everything that grows here."""
        return {"accepted": len(self._accepted), "auth budgets": len(self._auths)}

    def receive_hello(self, hello: wire.Hello, source: Address, now: float) -> bytes | None:
        """Return the datagram that answers a Hello, or None."""
        if hello.server != self._me:
            self._counts["dropped: hello for another node"] += 1
            return None
        if not self._hellos.spend(now):
            self._counts["dropped: hello budget"] += 1
            return None
        cookie = self._cookies.bake(hello.nonce, hello.ephemeral, source, now)
        return wire.Cookie(hello.nonce, cookie).encode()

    def receive_auth(
        self,
        auth: wire.Auth,
        source: Address,
        now: float,
        own: bytes,
        sequence: Callable[[NodeId], int],
    ) -> Session | bytes | None:
        """Return a new session, the Accept to repeat, or None; raises QisguardError.

        ``own`` is our signed descriptor; ``sequence`` tells the highest descriptor sequence of a
        peer's open sessions, or -1.
        """
        shown = (auth.cookie, auth.nonce, auth.ephemeral)
        if refusal := self._cookies.refusal(*shown, source, now):
            self._counts[f"dropped: {refusal}"] += 1
            return None
        transcript = auth_hash(self._me, auth.unsigned())
        known = self._accepted.get(transcript + auth.signature)
        if known is not None and (known.confirmed or not known.is_closed):
            return known.accept or None  # our Accept was lost; the second must be the same bytes
        if not self._auths.spend(site_of(source[0]), now):
            self._counts["dropped: auth budget of an address"] += 1
            return None
        descriptor = self._open_descriptor(auth.descriptor)
        if descriptor.seq < sequence(descriptor.id):
            self._counts["dropped: older descriptor"] += 1
            return None
        self._verify(descriptor.key, AUTH_TAG, transcript, auth.signature)
        return self._accept(auth, transcript, descriptor, source, now, own)

    def _accept(
        self,
        auth: wire.Auth,
        transcript: bytes,
        descriptor: Descriptor,
        source: Address,
        now: float,
        own: bytes,
    ) -> Session | None:
        public, secret = crypto_kx_seed_keypair(self._draw(32))
        name = self._draw(wire.SESSION_SIZE)
        unsigned = wire.Accept(auth.session, name, public, own, b"").unsigned()
        final = accept_hash(transcript, auth.signature, unsigned)
        try:
            ciphers = server_ciphers(public, secret, auth.ephemeral, final)
        except ProofError:
            self._counts["dropped: unusable ephemeral"] += 1
            return None
        accept = unsigned + self._identity.key.sign(ACCEPT_TAG, final)
        session = Session(descriptor, source, name, auth.session, *ciphers, now, False, accept)
        self._remember(transcript + auth.signature, session, now)
        return session

    def _remember(self, key: bytes, session: Session, now: float) -> None:
        """Keep an Auth as long as its cookie is good, and no more than so many."""
        self._accepted.pop(key, None)
        self._accepted[key] = session
        while len(self._accepted) > self._config.handshakes_open_max:
            self._accepted.popitem(last=False)
        while now - next(iter(self._accepted.values())).opened > 2 * self._config.cookie_lifetime:
            self._accepted.popitem(last=False)
