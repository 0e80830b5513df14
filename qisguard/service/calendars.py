"""OpenTimestamps calendars: ask several for a promise, later for what became of it.

A calendar is asked only when the configuration names it: what a stamp says about where to go is
third-party data. Its answers are decoded strictly and bounded; a calendar that fails or lies costs
its own answer and no other.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from qisguard.errors import DecodeError, ServiceError
from qisguard.notary.stamps import (
    ANSWER_SIZE_MAX,
    Pending,
    Stamp,
    Timestamp,
    decode_timestamp,
    encode_stamp,
    graft,
    merge,
    walk,
)
from qisguard.transport.web import Reply, fetch

HEADERS = {"Accept": "application/vnd.opentimestamps.v1", "User-Agent": "qisguard"}
COMMITMENT_SIZE_MAX = 64
"""Bytes of a message that a calendar is asked about; calendars promise about 32 to 44."""
ASKED_AT_ONCE = 8
QUESTION_COUNT_MAX = 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What one calendar made of one question: its answer, or why there is none."""

    calendar: str
    timestamp: Timestamp | None
    problem: str = ""


def submit(digest: bytes, calendars: Sequence[str], timeout: float) -> list[Told]:
    """Return every calendar's promise for ``digest``, in the order of ``calendars``.

    Args:
        digest: 32 bytes.
        calendars: addresses as ``check_url`` returns them.
        timeout: seconds that each of them has.
    """

    def ask(calendar: str) -> Told:
        return _told(calendar, len(digest), lambda: _post(calendar, digest, timeout))

    return _each(ask, calendars)


def upgrade(
    stamp: Stamp,
    calendars: Sequence[str],
    timeout: float,
    is_refuted: Callable[[Stamp], bool],
) -> tuple[Stamp, list[Told]]:
    """Return the stamp with what its calendars know by now, and what each said.

    An answer that would make the stamp false or unreadable is left out: ``is_refuted`` decides with
    what the caller knows of blocks. Promises of calendars that are not among ``calendars`` are
    reported and not followed.
    """
    open_ends = [
        (message, attestation.uri)
        for message, attestation in walk(stamp.timestamp, stamp.digest)
        if isinstance(attestation, Pending) and message is not None
    ]
    questions = sorted({(message, uri) for message, uri in open_ends}, key=lambda one: one[::-1])
    strangers = [
        Told(uri, None, "not a calendar of the configuration: not asked")
        for uri in sorted({uri for _, uri in questions if uri.rstrip("/") not in calendars})
    ]
    wanted = [one for one in questions if one[1].rstrip("/") in calendars]
    asked = _each(lambda one: _question(*one, timeout), wanted[:QUESTION_COUNT_MAX])
    told = []
    for (message, _), answer in zip(wanted, asked, strict=False):
        kept = answer
        if answer.timestamp is not None:
            try:
                grown = Stamp(
                    stamp.operation,
                    stamp.digest,
                    graft(stamp.timestamp, stamp.digest, message, answer.timestamp),
                )
                encode_stamp(grown)
                if is_refuted(grown):
                    kept = Told(answer.calendar, None, "its answer contradicts a known block")
                else:
                    stamp = grown
            except DecodeError as error:
                kept = Told(answer.calendar, None, str(error))
        told.append(kept)
    return stamp, [*told, *strangers]


def gather(told: Iterable[Told]) -> Timestamp:
    """Return the tree of all answers."""
    whole = Timestamp()
    for one in told:
        if one.timestamp is not None:
            whole = merge(whole, one.timestamp)
    return whole


def _question(message: bytes, uri: str, timeout: float) -> Told:
    calendar = uri.rstrip("/")
    if len(message) > COMMITMENT_SIZE_MAX:
        return Told(calendar, None, f"a promise about {len(message)} bytes is not followed")
    return _told(calendar, len(message), lambda: _get(calendar, message, timeout))


def _told(calendar: str, size: int, ask: Callable[[], Reply]) -> Told:
    try:
        reply = ask()
        if reply.status == 404:
            return Told(calendar, None, "nothing yet")
        if reply.status != 200:
            return Told(calendar, None, f"answers with status {reply.status}")
        return Told(calendar, decode_timestamp(reply.body, size))
    except (ServiceError, DecodeError) as error:
        return Told(calendar, None, str(error))


def _post(calendar: str, digest: bytes, timeout: float) -> Reply:
    return fetch(
        f"{calendar}/digest",
        size_max=ANSWER_SIZE_MAX,
        timeout=timeout,
        data=digest,
        headers={**HEADERS, "Content-Type": "application/x-www-form-urlencoded"},
    )


def _get(calendar: str, message: bytes, timeout: float) -> Reply:
    return fetch(
        f"{calendar}/timestamp/{message.hex()}",
        size_max=ANSWER_SIZE_MAX,
        timeout=timeout,
        headers=HEADERS,
    )


def _each(ask: Callable[[T], Told], questions: Sequence[T]) -> list[Told]:
    if not questions:
        return []
    with ThreadPoolExecutor(min(ASKED_AT_ONCE, len(questions))) as pool:
        return list(pool.map(ask, questions))
