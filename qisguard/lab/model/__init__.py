"""The ``model`` engine: routing in networks of up to ten million nodes, as arrays.

``network`` builds one, ``lookups`` looks up in it, ``regions`` stores and reads, ``figure`` draws
the figure of S/Kademlia. ``space``, ``tables``, ``paths``, ``shortlists`` and ``closest`` are
compiled. Importing any of them loads NumPy and Numba; this package by itself loads nothing.
"""
