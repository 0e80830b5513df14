"""Handshakes and sealed sessions: who speaks, and that nobody else heard or changed it."""
