"""Checks over a trail; findings; trust policies."""

from qisguard.audit.findings import CHECKS

__all__ = ["CHECKS"]
