"""Proof that a checkpoint existed by a time: OpenTimestamps, RFC 3161, batch receipts."""
