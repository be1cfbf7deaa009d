"""Servers on loopback for the tests: one whose latency is known, one that misbehaves, one that records.

Each is a context manager with a `url`; none needs more than the standard library and uvloop.
"""
