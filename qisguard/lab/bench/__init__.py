"""Benchmarks that anybody can run: what is measured, beside what, and the bar that it must meet."""
