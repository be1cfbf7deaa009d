"""Plain data as YAML that reads back as the same data, for our strict reader and for any other.

Rules
-----
- A text stands without quotes only where readers of YAML 1.1 and of 1.2 agree that it is that text; `no`,
  `1e3`, `0o17` and `12:30` are quoted.
- What is not printable is escaped. What fits one line stands in one.
- The order is that of the data: the same data gives the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

WIDTH = 110
INDENT = "  "

_PLAIN = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./$-]*|([0-9]+(ms|us|ns|[smhd]))+")
_WORDS = frozenset("null true false yes no on off y n".split())
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def yaml_text(data: dict[str, Any], *, open_levels: int = 1) -> str:
    """A mapping as a document. In its first `open_levels` levels what holds further mappings or lists is
    never folded into one line."""
    return "".join(f"{line}\n" for line in _block(data, 0, open_levels))


def _block(value: Any, depth: int, open_levels: int) -> Iterator[str]:
    """A mapping or list that is not empty, over several lines."""
    if isinstance(value, dict):
        pairs = [(f"{_scalar(key)}:", item) for key, item in value.items()]
    else:
        pairs = [("-", item) for item in value]
    for head, item in pairs:
        line = f"{INDENT * depth}{head} {_flow(item)}"
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        foldable = depth >= open_levels or not any(isinstance(each, dict | list) for each in inner)
        if not inner or (foldable and len(line) <= WIDTH):
            yield line
        else:
            yield f"{INDENT * depth}{head}"
            yield from _block(item, depth + 1, open_levels)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        # Of numbers, booleans and null JSON writes what YAML reads; 1.1 wants a dot before an exponent.
        return re.sub(r"^(-?[0-9]+)e", r"\1.0e", json.dumps(value, allow_nan=False))
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(_SHORT.get(char) or _printable(char) for char in value) + '"'


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
