"""Values that come from data, made safe for the place they stand in.

Rules
-----
- CR, LF and NUL never reach a header or a path: such a value is refused, not cleaned.
- A value fills one segment of a path: it can neither add segments nor take any away.
"""

from __future__ import annotations

from urllib.parse import quote

_BREAKING = frozenset("\r\n\0")


def header_value_ok(value: str) -> bool:
    """True where the value may stand in a header: no CR, LF, NUL, and Latin-1 throughout."""
    if not _BREAKING.isdisjoint(value):
        return False
    if value.isascii():
        return True
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def path_segment(value: str) -> str:
    """The value percent-encoded for one segment of a path.

    Raises ValueError for an empty value, for CR, LF or NUL, and for `.` and `..`, also between
    slashes, since some servers decode `%2F` before they look for dots.
    """
    if value.isascii() and value.isalnum():
        return value
    if not value:
        raise ValueError("an empty value would take its segment out of the path")
    if not _BREAKING.isdisjoint(value):
        raise ValueError("CR, LF or NUL")
    if has_dot_segment(value):
        raise ValueError(f"{value!r} would climb in the path")
    return quote(value, safe="")


def query_value(value: str) -> str:
    """The value percent-encoded for a query (a space as `%20`)."""
    return quote(value, safe="")


def has_dot_segment(path: str) -> bool:
    """True where a segment, by `/` or `\\`, is `.` or `..`, or would be without what a `;` begins in it."""
    segments = path.replace("\\", "/").split("/")
    return any(segment.partition(";")[0] in (".", "..") for segment in segments)
