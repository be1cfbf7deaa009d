"""What the pages have in common: the shell with its policy, sections, tables, badges.

Rules
-----
- A page may load nothing: its policy is `default-src 'none'`, and its own style and script are admitted by
  their hashes. There are no style attributes and no handlers.
- Foreign text goes through `text`; whatever else is handed in is HTML already.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from ecoload.report.forms import NOTHING, clean

_TONES = {
    "PASS": "pass",
    "VALID": "pass",
    "READY": "pass",
    "FIXED": "pass",
    "FAIL": "fail",
    "INVALID": "fail",
    "NOT_READY": "fail",
    "STILL_FAILING": "fail",
    "NOT_RUN": "none",
    "NOT_APPLICABLE": "none",
    "NOT_MEASURED": "none",
}


def page(title: str, body: str, style: str, script: str = "", *, media: bool = False) -> str:
    """A whole page. `script` is run at its end; without one its policy admits none. With `media` it may show
    pictures and films that stand in it."""
    admitted = f"script-src {_hash(script)}; " if script else ""
    shown = "img-src data:; media-src data:; " if media else ""
    policy = (
        f"default-src 'none'; {admitted}{shown}style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )
    run = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
        f"{run}</body>\n</html>\n"
    )


def text(value: Any) -> str:
    """A foreign text as it may stand in a page, in an attribute too."""
    return escape(clean(value))


def terms(pairs: Iterable[tuple[str, str]]) -> str:
    """The entries of a `dl`."""
    return "".join(f"<div><dt>{text(label)}</dt><dd>{text(told)}</dd></div>" for label, told in pairs)


def section(title: str, content: str, aside: str = "") -> str:
    key = title.lower().replace(" ", "-")
    return (
        f'<section aria-labelledby="{key}"><div class="title"><h2 id="{key}">{title}</h2>{aside}</div>\n'
        f"{content}</section>\n"
    )


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, numbers: Iterable[int], label: str) -> str:
    """A table of cells that are HTML already. The first cell of a row is its header."""
    right = set(numbers)
    cells = "".join(
        f'<th scope="col"{" class=number" if i in right else ""}>{name}</th>' for i, name in enumerate(head)
    )
    lines = "".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(
            f"<td{' class=number' if i in right else ''}>{cell}</td>" for i, cell in enumerate(row[1:], 1)
        )
        + "</tr>\n"
        for row in body
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>{cells}</tr>'
        f"</thead>\n<tbody>{lines}</tbody></table></div>\n"
    )


def badge(verdict: str, required: bool = True) -> str:
    if verdict == NOTHING:
        return '<span class="badge none">no level</span>'
    return f'<span class="badge {tone(verdict) if required else "none"}">{text(verdict)}</span>'


def tone(word: str) -> str:
    """The class that a verdict is coloured by."""
    return _TONES.get(word, "open")


def asset(path: str) -> str:
    """A file of this package."""
    return files("ecoload.report").joinpath(path).read_text(encoding="utf-8").strip()


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
