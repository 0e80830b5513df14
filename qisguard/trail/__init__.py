"""The audit trail: an RFC 6962 log as C2SP tiles, with signed checkpoints."""
