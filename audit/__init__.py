"""Checks over a trail; findings; trust policies."""
