"""Sessions that shall replace another and in which the peer has not been heard yet.

The client says nothing in them, an empty message, until the server says nothing back. Only then do
both send in the new session: the Accept, the first word and its answer may all be lost, and no
request goes where nobody listens.
"""

from dataclasses import dataclass

from qisguard.config import NodeConfig
from qisguard.session.channel import Session


@dataclass(slots=True)
class _Waiting:
    session: Session
    deadline: float
    wait: float
    tries: int = 1


class Successors:
    """Repeats the empty message with doubled waits; the table forgets who never answers."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._waiting: dict[bytes, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, session: Session, now: float) -> None:
        """The first empty message is on its way."""
        wait = self._config.handshake_timeout
        self._waiting[session.receive_id] = _Waiting(session, now + wait, wait)

    def drop(self, session: Session) -> None:
        """The peer was heard, or the session is closed."""
        self._waiting.pop(session.receive_id, None)

    def next_timer(self) -> float | None:
        """Return when the next message is due: there are few successors at a time."""
        if not self._waiting:
            return None
        return min(waiting.deadline for waiting in self._waiting.values())

    def handle_timer(self, now: float) -> list[Session]:
        """Return in which sessions to say nothing again."""
        due = [w for w in self._waiting.values() if w.deadline <= now]
        for waiting in due:
            if waiting.tries >= self._config.handshake_tries:
                self.drop(waiting.session)
                continue
            waiting.tries += 1
            waiting.wait = min(2 * waiting.wait, self._config.handshake_timeout_max)
            waiting.deadline = now + waiting.wait
        return [w.session for w in due if w.session.receive_id in self._waiting]
