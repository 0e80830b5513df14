"""The demonstration: one question, two networks of real nodes, one story with real patients."""
