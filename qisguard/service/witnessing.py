"""A witness by itself, for logs that others keep; and asking witnesses for one of ours."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qisguard.errors import ScenarioError
from qisguard.service import identities, trails
from qisguard.service.addresses import is_loopback_address, parse_address, show_address
from qisguard.trail.checkpoint import Checkpoint, LogKey, parse_vkey
from qisguard.trail.cosignature import Cosigned, WitnessKey, parse_witness_vkey, verify_cosignatures
from qisguard.trail.files import FolderFiles
from qisguard.trail.shown import ShownTrail
from qisguard.trail.witness import FileMemory, Witness
from qisguard.transport.witness_client import ask_witness
from qisguard.transport.witness_server import WitnessServer


@dataclass(frozen=True, slots=True)
class Standing:
    """A witness that listens: its key and the URL under which it is asked."""

    key: WitnessKey
    url: str
    log_count: int


def run_witness(
    name: str,
    key: Path,
    logs: Sequence[str],
    state: Path,
    listen: str,
    expose: bool,
    tell: Callable[[Standing], None],
) -> bool:
    """Cosign checkpoints of ``logs`` (verifier keys) until a signal; return whether by SIGINT.

    Raises:
        ScenarioError: an address that cannot be had, or is not loopback and ``expose`` is false.
        QisguardError: a key that cannot be read.
        TrailError: another witness holds the state folder.
    """
    address = parse_address(listen, "--listen")
    if not expose and not is_loopback_address(address):
        raise ScenarioError(
            f"--listen {listen}: is not loopback; --expose allows it: requests need no password, "
            "and are answered for the logs that are named"
        )
    known: dict[str, list[LogKey]] = {}
    for text in logs:
        log = parse_vkey(text)
        known.setdefault(log.name, []).append(log)
    pair = identities.load_key(key)
    files = FolderFiles(state)
    files.lock()
    try:
        witness = Witness(name, pair, known, FileMemory(files))
        server = WitnessServer(witness, known, time.time, address)
        return asyncio.run(_serve(server, witness, tell))
    finally:
        files.unlock()


async def _serve(server: WitnessServer, witness: Witness, tell: Callable[[Standing], None]) -> bool:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()

    def end(is_interrupted: bool) -> None:
        if not ended.done():
            ended.set_result(is_interrupted)

    loop.add_signal_handler(signal.SIGTERM, end, False)
    loop.add_signal_handler(signal.SIGINT, end, True)
    await server.start()
    try:
        url = f"http://{show_address(server.address)}"
        tell(Standing(witness.key, url, server.log_count))
        return await ended
    finally:
        await server.stop()


def cosign_trail(
    place: trails.Place, key: Path, witness: str, url: str
) -> tuple[Checkpoint, Cosigned]:
    """Have the checkpoint of a trail cosigned; return it with the line, and what it says.

    ``witness`` is the verifier key of the witness at ``url``.

    Raises:
        QisguardError: as ``ask_witness`` and ``trails.opened``; the checkpoint is as it was then.
    """
    known = parse_witness_vkey(witness)
    with trails.opened(place, key) as trail:
        shown = ShownTrail(trail, FolderFiles(place.public))
        line = ask_witness(url, trail.head, known, shown.prove_growth)
        head = trail.cosign(trail.head.size, [line])
    (said,) = verify_cosignatures(head, [known])
    return head, said
