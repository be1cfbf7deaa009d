"""Paths: declared ones with `{name}`, written ones with `${…}`, and those of URLs.

Rules
-----
- A declared path matches as a whole; a `{name}` never reaches over a `/`.
- What two readers could read differently (dots, backslashes, blanks, credentials) is no path of ours.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from ecoload.guard.text import has_dot_segment
from ecoload.plan import Call, Ref, StringTemplate, Text

HOLE = "\ufffc"
"""Stands for one substituted value where a template is matched as text."""
DEFAULT_PORT = {"http": 80, "https": 443}
_PLACEHOLDER = re.compile(r"\{[^{}]+\}")


def pieces(template: StringTemplate) -> tuple[str | Ref | Call, ...]:
    return template.parts if isinstance(template, Text) else (template,)


def with_holes(template: StringTemplate) -> str:
    return "".join(piece if isinstance(piece, str) else HOLE for piece in pieces(template))


def shown(path: str) -> str:
    return repr(path.replace(HOLE, "${…}"))


def path_pattern(path: str) -> re.Pattern[str]:
    """A declared path as a pattern: each `{name}` is a group that fills a segment or part of one."""
    constants = [re.escape(text) for text in _PLACEHOLDER.split(path)]
    return re.compile("([^/]+)".join(constants))


def any_value(path: str) -> str:
    """A declared path with `*` in place of each `{name}`."""
    return _PLACEHOLDER.sub("*", path)


def placeholders(path: str) -> list[str]:
    return [text[1:-1] for text in _PLACEHOLDER.findall(path)]


def standing_at(path: str, name: str, match: re.Match[str]) -> list[str]:
    return [
        t for placeholder, t in zip(placeholders(path), match.groups(), strict=True) if placeholder == name
    ]


def split_url(url: str) -> SplitResult | None:
    """The parts of an absolute http(s) URL; None for anything two readers could read differently."""
    if not all("!" <= char <= "~" and char != "\\" for char in url):
        return None
    try:
        parts = urlsplit(url)
        strange = parts.port == 0
    except ValueError:
        return None
    if strange or parts.scheme not in DEFAULT_PORT or not parts.hostname or "@" in parts.netloc:
        return None
    return None if has_dot_segment(unquote(parts.path)) else parts
