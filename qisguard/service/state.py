"""The state folder of one node: one process at a time, contacts that survive a restart."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from qisguard.errors import QisguardError, ScenarioError, TrailError
from qisguard.node.contact import Contact
from qisguard.service.addresses import parse_bootstrap, show_contact
from qisguard.trail.files import FolderFiles

CONTACTS = "contacts.json"
PID = "pid"
SOCKET = "control.sock"
CONTACTS_MAX = 1_000
CONTACTS_SIZE_MAX = 1 << 20


class StateFolder:
    """A folder that this process holds from ``take`` until ``release`` or its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = FolderFiles(path)

    @property
    def socket(self) -> Path:
        """Return where the control socket lies."""
        return self.path / SOCKET

    def take(self) -> None:
        """Make the folder if need be and lock it; raise ScenarioError when another process has it.

        The lock is the operating system's: it goes with the process, however that ends.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._files.lock()
        except TrailError:
            raise ScenarioError(
                f"node.state {self.path}: process {self._pid() or 'unknown'} is using it; stop "
                "that one, or give this node a folder of its own"
            ) from None
        except OSError as error:
            raise ScenarioError(f"node.state {self.path}: {error.strerror}") from None
        try:
            self._files.write({PID: f"{os.getpid()}\n".encode()})
        except OSError as error:
            self._files.unlock()
            raise ScenarioError(f"node.state {self.path}: {error.strerror}") from None

    def release(self) -> None:
        """Let another process in."""
        (self.path / PID).unlink(missing_ok=True)
        self._files.unlock()

    def save_contacts(self, contacts: Sequence[Contact], now: float) -> None:
        """Replace the saved contacts, atomically and durably; raises OSError."""
        rows = [show_contact(contact) for contact in contacts[:CONTACTS_MAX]]
        data = json.dumps({"v": 1, "saved": int(now), "contacts": rows}, indent=1)
        self._files.write({CONTACTS: data.encode() + b"\n"})

    def load_contacts(self) -> list[Contact]:
        """Return the saved contacts, none before the first save.

        Raises:
            ScenarioError: the file is damaged; a node goes on without it.
        """
        data = self._files.read(CONTACTS)
        if data is None:
            return []
        try:
            rows = json.loads(data[:CONTACTS_SIZE_MAX])["contacts"]
            return [parse_bootstrap(str(row), CONTACTS) for row in rows[:CONTACTS_MAX]]
        except (ValueError, KeyError, TypeError, RecursionError, QisguardError) as error:
            raise ScenarioError(f"{CONTACTS}: {type(error).__name__}, ignored") from None

    def _pid(self) -> int | None:
        try:
            return int((self.path / PID).read_text())
        except (OSError, ValueError):
            return None
