"""Polls: votes as columns, honest ones and poison, through the code that answers queries."""
