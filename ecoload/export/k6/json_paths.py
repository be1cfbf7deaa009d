"""JSON paths as expressions of JavaScript.

Rules
-----
- A path of names and indices is said, and one with a single `[*]` between such; nothing else of RFC 9535 is.
- `a?.b` finds what the engine finds, unless values of JavaScript have a `b` of their own: then the helper
  `at` looks.
"""

from __future__ import annotations

import re

from ecoload.export.k6.js import Raw
from ecoload.export.k6.layout import Call, Node

Keys = list[str | int]


def keys(path: str) -> Keys | None:
    """The names and indices of a path; None where it is of another kind."""
    if not path.startswith("$") or _PIECE.sub("", path) != "$":
        return None
    return [
        int(index) if index else plain or single or double
        for plain, index, single, double in _PIECE.findall(path)
    ]


def rows_and_members(path: str) -> tuple[Keys, Keys] | None:
    """The keys before and behind the one `[*]` of a path; None where it is of another kind."""
    before, star, after = path.partition("[*]")
    if not star or not _PLAIN.fullmatch(before) or not _PLAIN.fullmatch(f"${after}"):
        return None
    return keys(before) or [], keys(f"${after}") or []


def found(value: str, path: Keys) -> Node:
    """What stands at a path; a call of `at` where plain access could find something else."""
    plain = all(isinstance(key, str) and key.isidentifier() and key.isascii() for key in path)
    if plain and not _INHERITED.intersection(map(str, path)):
        return Raw("?.".join([value, *map(str, path)]))
    return Call("at", (Raw(value), *path))


_PIECE = re.compile(
    r"\.([A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)|\[(\d+)\]|\['([^'\\]*)'\]|\[\"([^\"\\]*)\"\]"
)
_PLAIN = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\])*")
_INHERITED = frozenset(
    """
    __defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__ __proto__ anchor at big blink bold
    charAt charCodeAt codePointAt concat constructor copyWithin endsWith entries every fill filter find
    findIndex findLast findLastIndex fixed flat flatMap fontcolor fontsize forEach hasOwnProperty includes
    indexOf isPrototypeOf isWellFormed italics join keys lastIndexOf length link localeCompare map match
    matchAll normalize padEnd padStart pop propertyIsEnumerable push reduce reduceRight repeat replace
    replaceAll reverse search shift slice small some sort splice split startsWith strike sub substr
    substring sup toExponential toFixed toLocaleLowerCase toLocaleString toLocaleUpperCase toLowerCase
    toPrecision toReversed toSorted toSpliced toString toUpperCase toWellFormed trim trimEnd trimLeft
    trimRight trimStart unshift valueOf values with
    """.split()
)
"""Names that values of JavaScript have though no JSON says so."""
