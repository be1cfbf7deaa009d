"""Measures ecoload beside wrk, hey and k6; run with `python -m benchmarks` (see docs/bench.md).

Rules
-----
- What runs is what ships: each client is started by its own command and counts its own requests.
- In turns and pinned: one client at a time on one core, the server on the other; every figure is a
  median over rounds, every ratio is taken within a round and shown with its spread.
- CPU is what the kernel billed: user and system time of every process that a client started.
- Nothing is asserted. A goal is shown beside its figure.
"""
