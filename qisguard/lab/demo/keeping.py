"""Where the nodes of a run keep packets and trails, and where their randomness comes from."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from qisguard.identity.descriptor import Identity
from qisguard.identity.puzzle import Draw
from qisguard.store.memory import MemoryStore
from qisguard.store.sqlite import SqliteStore
from qisguard.store.store import Store, StoreLimits
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.files import FolderFiles
from qisguard.trail.log import Trail


class Keeper(Protocol):
    """Gives each node of one network its store and its trail, by name."""

    @property
    def draw(self) -> Draw:
        """Return what the nodes draw their secrets from."""

    def store(self, name: str) -> Store:
        """Return a new store."""

    def trail(self, name: str, identity: Identity) -> Trail | None:
        """Return a new trail, or None where none is kept."""

    def close(self) -> None:
        """Close every store."""


@dataclass(frozen=True, slots=True)
class MemoryKeeper:
    """Everything in memory, no trails; ``draw`` is seeded, so that a run replays."""

    limits: StoreLimits
    draw: Draw

    def store(self, name: str) -> Store:
        """See ``Keeper``."""
        return MemoryStore(self.limits)

    def trail(self, name: str, identity: Identity) -> None:
        """See ``Keeper``."""

    def close(self) -> None:
        """See ``Keeper``."""


@dataclass(frozen=True, slots=True)
class DiskKeeper:
    """Stores and trail state in ``private``; trails, if any, in folders below ``trails``."""

    limits: StoreLimits
    private: Path
    trails: Path | None
    network: bytes
    stores: list[SqliteStore] = field(default_factory=list)

    @property
    def draw(self) -> Draw:
        """See ``Keeper``: the operating system's, for anything secret on a real socket."""
        return os.urandom

    def store(self, name: str) -> Store:
        """See ``Keeper``."""
        self.stores.append(SqliteStore(str(self.private / f"{name}.sqlite"), self.limits))
        return self.stores[-1]

    def trail(self, name: str, identity: Identity) -> Trail | None:
        """See ``Keeper``."""
        if self.trails is None:
            return None
        public, state = FolderFiles(self.trails / name), FolderFiles(self.private / name)
        return Trail.create(public, state, origin_of(self.network, identity.id), identity.log)

    def close(self) -> None:
        """See ``Keeper``."""
        for store in self.stores:
            store.close()
