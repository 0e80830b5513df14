"""Erasing packets: their bytes go, and the log that names them by digest stays whole.

Everything that still holds the bytes has to let go of them: the file beside the log, and the
write-ahead log, from which a crash would bring them back. So the trail is signed first, which
empties the write-ahead log, and then the file is removed. A crash in between leaves the packet
where it is, and erasing again is no error. Copies that others hold are theirs to erase.
"""

from collections.abc import Sequence

from qisguard.trail.files import Files
from qisguard.trail.log import Trail, packet_path


def erase_packets(trail: Trail, public: Files, digests: Sequence[bytes]) -> int:
    """Remove the bytes of packets from a trail; return how many were there.

    Raises:
        TrailError: the trail cannot be signed; nothing was removed then.
    """
    trail.checkpoint()
    paths = [packet_path(digest) for digest in dict.fromkeys(digests)]
    held = [path for path in paths if public.read(path) is not None]
    public.remove(held)
    return len(held)
