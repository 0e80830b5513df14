"""Renderers of results and findings; they never run anything."""
