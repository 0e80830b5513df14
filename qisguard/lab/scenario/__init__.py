"""Scenario files: everything a run of the laboratory depends on, checked before anything starts."""
