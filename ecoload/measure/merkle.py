"""A Merkle root over ids in order: one hash that no other list of ids has.

Rules
-----
- The tree of RFC 6962, 2.1: a leaf is SHA-256 over 0x00 and the id, a node over 0x01 and its two children;
  the left part of a tree is the largest power of two below its size. So no node can be taken for a leaf.
- Ids come one after the other; memory grows with the depth of the tree alone.
"""

from __future__ import annotations

import hashlib

EMPTY = hashlib.sha256().hexdigest()
"""The root of nothing."""


class Merkle:
    """Takes ids in order."""

    def __init__(self) -> None:
        self.count = 0
        self._whole: list[tuple[int, bytes]] = []
        """Roots of whole subtrees, the larger ones first: their heights and hashes."""

    def add(self, content: bytes) -> None:
        height, found = 0, hashlib.sha256(b"\0" + content).digest()
        while self._whole and self._whole[-1][0] == height:
            found = hashlib.sha256(b"\1" + self._whole.pop()[1] + found).digest()
            height += 1
        self._whole.append((height, found))
        self.count += 1

    def root(self) -> str:
        """As hexadecimal digits."""
        if not self._whole:
            return EMPTY
        found = self._whole[-1][1]
        for _, left in reversed(self._whole[:-1]):
            found = hashlib.sha256(b"\1" + left + found).digest()
        return found.hex()
