"""What two nodes say to each other inside a session: requests, replies, and their encoding.

- MessagePack array structs; decoding validates types, counts and sizes before anything is used.
- A reply carries the request's number and is dropped when nobody waits for it.
- Every message fits one sealed datagram; there is no fragmentation.
"""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from qisguard.errors import DecodeError
from qisguard.identity.ids import ID_SIZE

CONTACTS_MAX = 20
PACKETS_MAX = 4
LISTING_MAX = 28
FETCH_MAX = 28
PROVIDERS_MAX = 7
KEYS_MAX = 32
RECORD_SIZE_MAX = 160
HEADS_MAX = 7
PROOF_HASHES_MAX = 32
"""Hashes of a consistency proof: enough for logs of 2^31 entries, and no more fit a datagram."""
SUMS_MAX = 64
STEP_MAX = 31
"""Days that one row of sums may add up: more would cost who answers too much."""

Number = Annotated[int, Meta(ge=0, lt=1 << 32)]
Id = Annotated[bytes, Meta(min_length=ID_SIZE, max_length=ID_SIZE)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Port = Annotated[int, Meta(ge=1, lt=1 << 16)]
Host = Annotated[bytes, Meta(min_length=4, max_length=16)]
Packet = Annotated[bytes, Meta(max_length=512)]
Day = Annotated[int, Meta(ge=0, lt=1 << 32)]
Reason = Annotated[str, Meta(max_length=64, pattern=r"\A[ -~]*\Z")]
"""Printable ASCII: a peer's words end up in reports and on terminals."""
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Hashes = Annotated[bytes, Meta(max_length=32 * PROOF_HASHES_MAX)]
WireHead: TypeAlias = tuple[Id, Size, Digest, Signature]
"""Whose log, its size, its root, the log's signature."""
WireContact: TypeAlias = tuple[Id, Host, Port]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
"""An issuer's name or an arm."""
Count = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Sum = Annotated[float, Meta(ge=-1e200, le=1e200)]
"""Never NaN and never infinite."""
WireSums: TypeAlias = tuple[Day, Word, Word, Count, Count, Sum, Sum, Count, Count]
"""First day, issuer, arm, cases, known, total, squares, person-days, revised: see the archive."""


class _Message(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    number: Number


class Ping(_Message, frozen=True, tag=0):
    """Are you there?"""


class FindNode(_Message, frozen=True, tag=1):
    """Which contacts of yours are closest to ``target``?"""

    target: Id


class Store(_Message, frozen=True, tag=2):
    """Keep my provider record, and these packets with it."""

    record: Annotated[bytes, Meta(max_length=RECORD_SIZE_MAX)]
    packets: Annotated[list[Packet], Meta(max_length=PACKETS_MAX)]


class ListPackets(_Message, frozen=True, tag=3):
    """Which packets do you hold under ``key``, from digest ``after`` on?"""

    key: Id
    after: Annotated[bytes, Meta(max_length=32)]


class FetchPackets(_Message, frozen=True, tag=4):
    """Send as many of these packets as fit one datagram, in this order."""

    key: Id
    digests: Annotated[list[Digest], Meta(max_length=FETCH_MAX)]


class FindProviders(_Message, frozen=True, tag=5):
    """Whose provider records do you hold at this place, from provider id ``after`` on?"""

    place: Id
    after: Annotated[bytes, Meta(max_length=32)]


class FindValue(_Message, frozen=True, tag=6):
    """Send the packet with this digest at this place, or the contacts closest to the place."""

    place: Id
    digest: Digest


class Announce(_Message, frozen=True, tag=7):
    """Keep my index record: under this key there is something."""

    record: Annotated[bytes, Meta(max_length=RECORD_SIZE_MAX)]


class ListKeys(_Message, frozen=True, tag=8):
    """Which similarity keys of this domain prefix do you know, from ``after`` on?"""

    prefix: Annotated[int, Meta(ge=0, lt=256)]
    after: Annotated[bytes, Meta(max_length=32)]


class AddCheckpoint(_Message, frozen=True, tag=9):
    """Cosign this head of my log; ``proof`` leads to it from size ``old``."""

    old: Size
    proof: Hashes
    size: Size
    root: Digest
    signature: Signature


class ListHeads(_Message, frozen=True, tag=10):
    """Which head has your log, and which have those whose node ids follow ``after``?"""

    after: Annotated[bytes, Meta(max_length=32)]


class ProveGrowth(_Message, frozen=True, tag=11):
    """Prove that your log of size ``new`` continues that of size ``old``."""

    old: Size
    new: Size


class Accuse(_Message, frozen=True, tag=12):
    """The log of this descriptor's node signed two roots of one size."""

    size: Size
    root: Digest
    signature: Signature
    other_root: Digest
    other_signature: Signature
    descriptor: Annotated[bytes, Meta(max_length=512)]


class ListSums(_Message, frozen=True, tag=13):
    """What have you archived of this place from day ``first`` on, ``step`` days to a row?

    Rows follow that of ``day``, ``issuer`` and ``arm``; the first page follows 0 and two empty
    texts.
    """

    place: Id
    first: Day
    step: Annotated[int, Meta(ge=1, le=STEP_MAX)]
    day: Day
    issuer: Annotated[str, Meta(max_length=64)]
    arm: Annotated[str, Meta(max_length=64)]


class Pong(_Message, frozen=True, tag=16):
    """I am here."""


class Nodes(_Message, frozen=True, tag=17):
    """The closest contacts I know."""

    contacts: Annotated[list[WireContact], Meta(max_length=CONTACTS_MAX)]


class Stored(_Message, frozen=True, tag=18):
    """Durable, but for the packets refused: one reason each, empty when kept."""

    reasons: Annotated[list[Reason], Meta(max_length=PACKETS_MAX)]


class Listing(_Message, frozen=True, tag=19):
    """One page of digests in ascending order, each with the day it was first seen here."""

    entries: Annotated[list[tuple[Digest, Day]], Meta(max_length=LISTING_MAX)]
    more: bool


class Packets(_Message, frozen=True, tag=20):
    """The packets asked for, as far as they fit and are held."""

    packets: Annotated[list[Packet], Meta(max_length=PACKETS_MAX)]


class Providers(_Message, frozen=True, tag=22):
    """One page of provider records in ascending order of provider id."""

    records: Annotated[
        list[Annotated[bytes, Meta(max_length=RECORD_SIZE_MAX)]], Meta(max_length=PROVIDERS_MAX)
    ]
    more: bool


class Keys(_Message, frozen=True, tag=23):
    """One page of similarity keys in ascending order."""

    keys: Annotated[list[Id], Meta(max_length=KEYS_MAX)]
    more: bool


class Cosigned(_Message, frozen=True, tag=24):
    """Status as over HTTP, the size cosigned last, and time and signature where it is 200."""

    status: Annotated[int, Meta(ge=0, lt=1_000)]
    size: Size
    cosignature: Annotated[bytes, Meta(max_length=72)]


class Heads(_Message, frozen=True, tag=25):
    """The head of the log of who answers, if it keeps one, and a page of others, ascending."""

    own: Annotated[list[WireHead], Meta(max_length=1)]
    heads: Annotated[list[WireHead], Meta(max_length=HEADS_MAX)]
    more: bool


class Growth(_Message, frozen=True, tag=26):
    """A consistency proof: hashes one after the other."""

    proof: Hashes


class Sums(_Message, frozen=True, tag=27):
    """One page of archived sums, ascending by day, issuer and arm."""

    rows: Annotated[list[WireSums], Meta(max_length=SUMS_MAX)]
    more: bool


class Refused(_Message, frozen=True, tag=21):
    """No, and why."""

    reason: Reason


Request: TypeAlias = (
    Ping
    | FindNode
    | Store
    | ListPackets
    | FetchPackets
    | FindProviders
    | FindValue
    | Announce
    | ListKeys
    | AddCheckpoint
    | ListHeads
    | ProveGrowth
    | Accuse
    | ListSums
)
Reply: TypeAlias = (
    Pong
    | Nodes
    | Stored
    | Listing
    | Packets
    | Refused
    | Providers
    | Keys
    | Cosigned
    | Heads
    | Growth
    | Sums
)
AboutLogs: TypeAlias = AddCheckpoint | ListHeads | ProveGrowth | Accuse
"""What nodes that gossip ask about logs."""
Message: TypeAlias = Request | Reply

BUSY = "busy"
"""The reason of a ``Refused`` that says: over your budget, ask again later."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return the plaintext of one sealed datagram."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """Return the message in ``data``; raise DecodeError for anything else."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"message: {error}") from None
