"""The wire between a generator process and the one that measures.

Rules
-----
- A generator writes frames to a pipe and never bins, encodes or judges: its core is for load.
- A frame is a 12-byte header (`kind` u8, pad, `key` u16, `length` u32, reserved u32, little-endian)
  and `length` bytes.
- All times are nanoseconds of CLOCK_MONOTONIC, which every process of a machine shares.
- Sample payloads are rows of int64; texts are JSON objects in UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

HEADER = struct.Struct("<BxHII")
OUTCOME_BITS = 5


class Frame(IntEnum):
    """What a frame holds."""

    START = 1
    """JSON `{"t0": ns}`: when the schedule's zero is. The first frame of a generator."""
    SAMPLES = 2
    """`key = route << 5 | outcome`; rows `due, begin, sent, first, last` (`SAMPLE_COLUMNS`)."""
    CONNECTIONS = 3
    """`key` = index of the origin; rows `at, blocked_ns, connect_ns, tls_ns`."""
    LATENESS = 4
    """Values in ns: how late each iteration started though a VU was free (one column)."""
    TICK = 5
    """JSON counters so far (`Tick`), sent at every full second and at the end."""
    LOG = 6
    """JSON `{"level": ..., "message": ...}`: for a person."""
    END = 7
    """JSON `{"status": "finished" | "stopped" | "aborted" | "failed", "reason": str, "stopped_at_ns"}`: the
    last frame. `stopped_at_ns` is when nothing was to start any more, 0 where the schedule ran out."""
    EVENTS = 8
    """Of a plan with a lineage: `key = scenario << 1 | kind`; rows `vu, iteration` of what was sent, `vu,
    iteration, outcome, last` of what was answered (`ledger.py`)."""


SAMPLE_COLUMNS = ("due", "begin", "sent", "first", "last")
"""`due`: when the request was due. `begin`: its first byte goes out on an open connection (for a
request that never got one: when it was begun). `sent`: its last byte has gone out. `first`, `last`:
first and last byte of the answer; where there was no answer both are the end of the request.
Response time is `last - due`; service time `last - begin`; sending `sent - begin`; waiting
`first - sent`; receiving `last - first`."""


SENT, ANSWERED = 0, 1
"""The kinds of rows of EVENTS."""
SENT_COLUMNS = ("vu", "iteration")
ANSWERED_COLUMNS = ("vu", "iteration", "outcome", "last")


def sample_key(route: int, outcome: int) -> int:
    return route << OUTCOME_BITS | outcome


def split_key(key: int) -> tuple[int, int]:
    """`(route, outcome)` of a SAMPLES key."""
    return key >> OUTCOME_BITS, key & ((1 << OUTCOME_BITS) - 1)


def encode(kind: Frame, key: int, payload: bytes | memoryview) -> bytes:
    return HEADER.pack(kind, key, len(payload), 0) + payload


class Decoder:
    """Cuts a byte stream back into frames; a torn last frame (a killed generator) is dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Frame, int, bytes]]:
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= HEADER.size:
            kind, key, length, _ = HEADER.unpack_from(buffer, position)
            end = position + HEADER.size + length
            if end > len(buffer):
                break
            yield Frame(kind), key, bytes(buffer[position + HEADER.size : end])
            position = end
        del buffer[:position]
