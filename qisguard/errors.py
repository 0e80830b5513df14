"""One tree of errors: what went wrong, with the field, the value found and the values allowed.

Bad input from a peer is data, not an exception, once it is past a decoder: it becomes a counted
event or a ``Rejected``. Programming errors stay ``ValueError`` and ``TypeError``.
"""


class QisguardError(Exception):
    """Root of everything a caller may want to catch; ``code`` is stable and shown to users."""

    code = "QE-000"


class DecodeError(QisguardError):
    """Bytes that are not what their format says."""

    code = "QE-100"


class IdentityError(QisguardError):
    """A key, puzzle solution, descriptor or roster that does not hold."""

    code = "QE-200"


class RecordError(QisguardError):
    """A packet, template, value or provider record that breaks its rules."""

    code = "QE-300"


class ScenarioError(QisguardError):
    """A scenario or configuration that cannot be run as written."""

    code = "QE-400"


class ProofError(QisguardError):
    """A signature, tree hash or proof that does not verify."""

    code = "QE-500"


class StoreError(QisguardError):
    """A store that cannot be opened, read or made durable."""

    code = "QE-700"


class TrailError(QisguardError):
    """A trail that cannot be opened, appended to or read."""

    code = "QE-600"


class ServiceError(QisguardError):
    """A running node, or a service, that cannot be reached or refuses what a command asks of it."""

    code = "QE-800"


class ScopeError(QisguardError):
    """An address that the laboratory must not attack."""

    code = "QE-900"
