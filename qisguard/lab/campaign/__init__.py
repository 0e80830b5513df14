"""Campaigns: every point of a scenario's grid, every arm, every seed, on all cores or a cluster."""
