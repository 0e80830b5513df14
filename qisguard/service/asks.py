"""What a shell asks a running node, and what it answers: JSON objects on lines.

One request line gives any number of ``part`` lines and then one ``done`` or ``failed`` line.
Binary values are base64url. Packets are checked by both sides: the node does not publish what
would be refused, the shell does not count what does not verify.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from qisguard.errors import DecodeError, ServiceError
from qisguard.identity.keys import KEY_SIZE, from_text, to_text
from qisguard.node.messages import WireSums
from qisguard.outcomes.packet import PACKET_SIZE_MAX, OutcomePacket, open_packet
from qisguard.service.state import SOCKET
from qisguard.transport.control import ControlClient

PACKETS_MAX = 512
"""Packets in one request: they fit a line."""
KEYS_MAX = 256
ROWS_MAX = 512
"""Packets in one line of an answer."""
PATIENCE = 150.0
"""Seconds that a command waits for the next line; the node gives up before."""
TEXT_MAX = PACKET_SIZE_MAX * 4 // 3 + 4


class Status(msgspec.Struct, tag="status", tag_field="ask", forbid_unknown_fields=True):
    """How is the node?"""


class Publish(msgspec.Struct, tag="publish", tag_field="ask", forbid_unknown_fields=True):
    """Publish these signed packets."""

    packets: list[str]


class Retrieve(msgspec.Struct, tag="retrieve", tag_field="ask", forbid_unknown_fields=True):
    """Fetch every packet under these similarity keys."""

    keys: list[str]


class Find(msgspec.Struct, tag="find", tag_field="ask", forbid_unknown_fields=True):
    """Look up the contacts closest to an id, 64 hex digits."""

    target: str


class Past(msgspec.Struct, tag="past", tag_field="ask", forbid_unknown_fields=True):
    """What have replicas archived of these keys from a day on, ``step`` days to a row?"""

    keys: list[str]
    first: int
    step: int


class Worth(msgspec.Struct, tag="worth", tag_field="ask", forbid_unknown_fields=True):
    """What has every issuer turned out to be worth?"""


Ask: TypeAlias = Status | Publish | Retrieve | Find | Past | Worth


class Part(msgspec.Struct, tag="part", tag_field="is"):
    """A piece of the answer."""

    value: dict[str, Any]


class Done(msgspec.Struct, tag="done", tag_field="is"):
    """The end of the answer."""

    value: dict[str, Any]


class Failed(msgspec.Struct, tag="failed", tag_field="is"):
    """Why there is no answer."""

    code: str
    text: str


Line: TypeAlias = Part | Done | Failed
Told: TypeAlias = list[WireSums]
"""What one replica has archived."""

_ASKS: msgspec.json.Decoder[Ask] = msgspec.json.Decoder(Ask)
_LINES: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_ENCODER = msgspec.json.Encoder()


def encode(value: Ask | Line) -> bytes:
    """Return one line, without its end."""
    return _ENCODER.encode(value)


def decode_ask(line: bytes) -> Ask:
    """Return the request in a line; raise DecodeError for anything else or too much of it."""
    try:
        ask = _ASKS.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"control request: {error}") from None
    for name, most in (("packets", PACKETS_MAX), ("keys", KEYS_MAX)):
        count = len(getattr(ask, name, ()))
        if count > most:
            raise DecodeError(f"control request: {count} {name}, at most {most}")
    return ask


@dataclass(frozen=True, slots=True)
class KeyPublished:
    """What became of the packets of one similarity key.

    ``acknowledged`` counts (packet, replica) pairs.
    """

    key: str
    packets: int
    replicas: int
    acknowledged: int
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class KeyRetrieved:
    """How many replicas of one key were asked, how many answered in full, what was refused."""

    key: str
    asked: int
    answered: int
    refused: dict[str, int]


@dataclass(slots=True)
class Found:
    """Everything a retrieval brought: verified packets, and the median day replicas saw them."""

    packets: list[OutcomePacket] = field(default_factory=list)
    first_seen: dict[bytes, int] = field(default_factory=dict)
    keys: list[KeyRetrieved] = field(default_factory=list)


class Control:
    """A connection to a running node. Use as a context manager.

    Every method raises ServiceError when the node refuses or goes away.
    """

    def __init__(self, state: Path) -> None:
        """Connect to the node that holds a state folder; raise ServiceError when none does."""
        try:
            self._client = ControlClient(state / SOCKET, PATIENCE)
        except OSError as error:
            raise ServiceError(f"no node is running in {state} ({error.strerror})") from None

    def __enter__(self) -> "Control":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.__exit__()

    def status(self) -> dict[str, Any]:
        """Return what the node says about itself."""
        return self._last(Status())

    def publish(self, packets: Sequence[OutcomePacket]) -> list[KeyPublished]:
        """Publish at most ``PACKETS_MAX`` packets; return one row for each key."""
        done = self._last(Publish([to_text(packet.data) for packet in packets]))
        return msgspec.convert(done["keys"], list[KeyPublished])

    def retrieve(self, keys: Sequence[bytes]) -> Found:
        """Return every packet under at most ``KEYS_MAX`` keys."""
        found = Found()
        for line in self._ask(Retrieve([to_text(key) for key in keys])):
            if isinstance(line, Done):
                found.keys = msgspec.convert(line.value["keys"], list[KeyRetrieved])
                continue
            for text, day in line.value["packets"]:
                packet = open_packet(bytes_of(text))
                found.packets.append(packet)
                if day is not None:
                    found.first_seen[packet.digest] = int(day)
        return found

    def past(self, keys: Sequence[bytes], first: int, step: int) -> dict[bytes, list[Told]]:
        """Return what each replica of at most ``KEYS_MAX`` keys has archived, by key."""
        found: dict[bytes, list[Told]] = {key: [] for key in keys}
        for line in self._ask(Past([to_text(key) for key in keys], first, step)):
            if not isinstance(line, Done):
                key, is_new = key_of(line.value["key"]), line.value["begins"]
                rows = msgspec.convert(line.value["rows"], Told, strict=False)
                if is_new:
                    found[key].append(rows)
                else:
                    found[key][-1] += rows
        return found

    def worth(self) -> list[tuple[str, str, float, float]]:
        """Return judge, subject, good and bad evidence of every pair that the node remembers."""
        found: list[tuple[str, str, float, float]] = []
        for line in self._ask(Worth()):
            if not isinstance(line, Done):
                found += msgspec.convert(line.value["rows"], list[tuple[str, str, float, float]])
        return found

    def find(self, target: str) -> list[str]:
        """Return the contacts closest to an id, as ``nodeid@host:port``."""
        return msgspec.convert(self._last(Find(target))["contacts"], list[str])

    def _last(self, ask: Ask) -> dict[str, Any]:
        *_, last = self._ask(ask)
        return last.value

    def _ask(self, ask: Ask) -> Iterator[Part | Done]:
        try:
            for data in self._client.ask(encode(ask)):
                line = _LINES.decode(data)
                if isinstance(line, Failed):
                    raise ServiceError(f"the node refused: {line.code} {line.text}")
                yield line
                if isinstance(line, Done):
                    return
        except TimeoutError:
            raise ServiceError(f"the node said nothing for {PATIENCE:.0f} seconds") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise ServiceError(f"the node's answer broke off: {error}") from None
        raise ServiceError("the node's answer broke off: it was stopped, or has too many callers")


def bytes_of(text: str) -> bytes:
    """Return the bytes behind base64url of any length; raise DecodeError for anything else."""
    if len(text) > TEXT_MAX:
        raise DecodeError(f"base64url: {len(text)} characters, at most {TEXT_MAX}")
    return from_text(text, len(text) * 3 // 4)


def key_of(text: str) -> bytes:
    """Return a similarity key from base64url."""
    return from_text(text, KEY_SIZE)
