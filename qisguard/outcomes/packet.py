"""OutcomePacket: what happened to one case, signed by its author (design, section 1).

- Body: deterministic UTF-8 JSON, so that anybody can read it; signature: Ed25519 over the packet
  tag and the body; body and signature together at most 512 bytes.
- The bytes that were signed are the bytes that travel and are stored: never re-encoded to verify.
- A packet is named by the digest of body ‖ signature; two packets of one (author, case) are told
  apart by their body, never by signature bytes (a malicious signer can make several).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from qisguard.errors import DecodeError, RecordError
from qisguard.fill import INTEGER_MAX
from qisguard.identity.keys import (
    KEY_SIZE,
    PACKET_TAG,
    SIGNATURE_SIZE,
    KeyPair,
    from_text,
    to_text,
    verify,
)

PACKET_SIZE_MAX = 512
CASE_SIZE = 16
BINARY, NUMERIC, TIME_TO_EVENT = KINDS = ("binary", "numeric", "time-to-event")

Verify = Callable[[bytes, bytes, bytes, bytes], None]
"""``keys.verify``, or a memo of it: raises ProofError."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The JSON body: one outcome, of the kind that ``kind`` says, or a tombstone.

    ``value`` is 0 or 1 (binary) or a number in ``unit`` (numeric); ``time`` is in days and
    ``event`` 1 or 0 (time-to-event); ``day`` and ``exp`` are calendar days.
    """

    v: int
    net: str
    tpl: str
    key: str
    case: str
    author: str
    seq: int
    day: int
    exp: int
    arm: str = ""
    kind: str = ""
    value: float | None = None
    unit: str = ""
    time: int | None = None
    event: int | None = None
    feat: dict[str, int | str] = {}
    gone: bool = False


_DECODER = msgspec.json.Decoder(Body)
_ENCODER = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class OutcomePacket:
    """A decoded packet: its body, the identifiers as bytes, and the bytes that were signed.

    ``digest`` is SHA-256 of body ‖ signature, the packet's name.
    """

    body: Body
    network: bytes
    key: bytes
    case: bytes
    author: bytes
    data: bytes
    digest: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", sha256(self.data).digest())  # frozen, but made here


def sign_packet(body: Body, author: KeyPair) -> OutcomePacket:
    """Return ``body`` signed; raise RecordError when it does not fit or names another author."""
    encoded = msgspec.json.encode(body, order="deterministic")
    packet = open_packet(encoded + author.sign(PACKET_TAG, encoded), _signed_here)
    if packet.author != author.public:
        raise RecordError("packet: author is not the key that signs")
    return packet


def _signed_here(public: bytes, tag: bytes, body: bytes, signature: bytes) -> None:
    """Accept what was signed a moment ago: whose key it was is compared afterwards."""


def open_packet(data: bytes, check: Verify = verify) -> OutcomePacket:
    """Return the packet in ``data`` after checking form, bounds and signature, in this order.

    Raises:
        DecodeError: size, JSON, field types, or an encoding other than the deterministic one.
        RecordError: a value out of its bounds, or fields that do not go together.
        ProofError: the signature does not verify under the author's key.
    """
    body = read_body(data)
    author = from_text(body.author, KEY_SIZE)
    packet = OutcomePacket(
        body,
        from_text(body.net, KEY_SIZE),
        from_text(body.key, KEY_SIZE),
        from_text(body.case, CASE_SIZE),
        author,
        data,
    )
    check(author, PACKET_TAG, data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:])
    return packet


def read_body(data: bytes) -> Body:
    """Return the body in a packet's bytes after checking form and bounds, no key and no signature.

    Raises:
        DecodeError: size, JSON, field types, or an encoding other than the deterministic one.
        RecordError: a value out of its bounds, or fields that do not go together.
    """
    if not SIGNATURE_SIZE < len(data) <= PACKET_SIZE_MAX:
        raise DecodeError(f"packet: {len(data)} bytes, at most {PACKET_SIZE_MAX}")
    encoded = data[:-SIGNATURE_SIZE]
    try:
        body = _DECODER.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"packet: {error}") from None
    if _ENCODER.encode(body) != encoded:
        raise DecodeError("packet: body is not in its deterministic encoding")
    _check_bounds(body)
    return body


def _check_bounds(body: Body) -> None:
    """Raise RecordError for values that no template could allow."""
    if body.v != 1:
        raise RecordError(f"packet: v = {body.v}, this version reads 1")
    if not (0 <= body.seq <= INTEGER_MAX and 0 <= body.day <= body.exp <= INTEGER_MAX):
        _refuse_numbers(body)
    for feature, value in body.feat.items():
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise RecordError(f"packet: feature {feature!r} is beyond {INTEGER_MAX}")
    if body.gone:
        outcome = (body.value, body.time, body.event)
        if body.kind or body.arm or body.unit or body.feat or outcome != (None, None, None):
            raise RecordError("packet: a tombstone carries no outcome")
        return
    if body.kind == TIME_TO_EVENT:
        fits = body.value is None and body.time is not None and body.event in (0, 1)
    elif body.kind in KINDS:
        numbers = body.value is not None if body.kind == NUMERIC else body.value in (0.0, 1.0)
        fits = numbers and body.time is None and body.event is None
    else:
        raise RecordError(f"packet: kind = {body.kind!r}, must be one of {', '.join(KINDS)}")
    if not fits:
        raise RecordError(f"packet: value, time and event do not fit kind {body.kind!r}")
    if (body.kind == NUMERIC) != bool(body.unit):
        raise RecordError(f"packet: unit = {body.unit!r}, numbers have one and nothing else does")
    if body.value is not None and not abs(body.value) <= INTEGER_MAX:
        raise RecordError(f"packet: value = {body.value}, must be finite and within {INTEGER_MAX}")
    if body.value == 0 and str(body.value) != "0.0":
        raise RecordError(f"packet: value = {body.value}, zero has no sign")
    if body.time is not None and not 0 <= body.time <= INTEGER_MAX:
        raise RecordError(f"packet: time = {body.time}, must be 0 to {INTEGER_MAX} days")


def _refuse_numbers(body: Body) -> None:
    """Raise RecordError for the first number that is out of its bounds."""
    for name in ("seq", "day", "exp"):
        number = getattr(body, name)
        if not 0 <= number <= INTEGER_MAX:
            raise RecordError(f"packet: {name} = {number}, must be 0 to {INTEGER_MAX}")
    if body.exp < body.day:
        raise RecordError(f"packet: expires on day {body.exp}, before its day {body.day}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one case, in the fields of its kind; made by one of the methods below."""

    kind: str
    value: float | None = None
    unit: str = ""
    time: int | None = None
    event: int | None = None

    @classmethod
    def of(cls, body: Body) -> "Outcome":
        """Return the outcome in a packet's body."""
        return cls(body.kind, body.value, body.unit, body.time, body.event)

    @classmethod
    def binary(cls, happened: bool) -> "Outcome":
        """Return whether it happened."""
        return cls(BINARY, value=float(happened))

    @classmethod
    def numeric(cls, value: float, unit: str) -> "Outcome":
        """Return a number in ``unit``."""
        return cls(NUMERIC, value=value + 0.0, unit=unit)  # -0.0 becomes 0.0

    @classmethod
    def after(cls, days: int, event: int) -> "Outcome":
        """Return the event after ``days`` (1), or the end of observation without it (0)."""
        return cls(TIME_TO_EVENT, time=days, event=event)


def packet_body(
    *,
    network: bytes,
    template: str,
    key: bytes,
    case: bytes,
    author: bytes,
    seq: int,
    day: int,
    exp: int,
    arm: str,
    outcome: Outcome,
    feat: dict[str, int | str],
) -> Body:
    """Return a body from identifiers in bytes."""
    return Body(
        v=1,
        net=to_text(network),
        tpl=template,
        key=to_text(key),
        case=to_text(case),
        author=to_text(author),
        seq=seq,
        day=day,
        exp=exp,
        arm=arm,
        kind=outcome.kind,
        value=outcome.value,
        unit=outcome.unit,
        time=outcome.time,
        event=outcome.event,
        feat=feat,
    )


def longest_packet(template: str, arm: str, outcome: Outcome, feat: dict[str, int | str]) -> int:
    """Return the bytes of a packet that says this, with a number and days of many digits."""
    blank = bytes(KEY_SIZE)
    body = packet_body(
        network=blank,
        template=template,
        key=blank,
        case=blank[:CASE_SIZE],
        author=blank,
        seq=999_999,
        day=99_999,
        exp=99_999,
        arm=arm,
        outcome=outcome,
        feat=feat,
    )
    return len(msgspec.json.encode(body)) + SIGNATURE_SIZE
