"""The HTML pages of the sandbox.

Rules
-----
- This is the only module that knows the template library. Everything a page shows is escaped.
- A page loads nothing from elsewhere and runs no inline script or style: its policy forbids both.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parents[1] / "pages"

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self' http://127.0.0.1:*; base-uri 'none'; frame-ancestors 'none'"
)
"""Forms may lead on to another app of the sandbox: a sign-in redirects after its post."""

_templates = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def page(template: str, status: int = 200, **values: Any) -> web.Response:
    """A page of `pages/`, with `values` in it."""
    return web.Response(
        text=_templates.get_template(template).render(values),
        status=status,
        content_type="text/html",
        headers={
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


def asset_routes() -> list[web.RouteDef]:
    """The style of all pages."""
    style = (FOLDER / "style.css").read_bytes()
    tag = hashlib.sha256(style).hexdigest()[:16]

    async def serve(request: web.Request) -> web.Response:
        headers = {"Cache-Control": "public, max-age=3600", "ETag": f'"{tag}"'}
        if request.headers.get("If-None-Match") == f'"{tag}"':
            return web.Response(status=304, headers=headers)
        return web.Response(body=style, content_type="text/css", charset="utf-8", headers=headers)

    return [web.get("/assets/style.css", serve, name="assets")]
