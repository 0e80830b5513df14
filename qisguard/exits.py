"""Exit codes, one meaning each, used by every command."""

from enum import IntEnum


class Exit(IntEnum):
    """What a finished command says to a script."""

    CLEAN = 0
    FINDING = 1
    USAGE = 2
    NOT_MEASURED = 3
    REFUSED = 4
    INTERNAL = 70
    INTERRUPTED = 130
