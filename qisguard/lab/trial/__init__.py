"""Trials: one scenario, one arm, one seed, on one engine, and what was measured."""
