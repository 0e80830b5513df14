"""Attack, defend and audit peer-to-peer networks that contain liars."""

__version__ = "0.1.0"
