"""What a student may upload: read from a request, and held against the rules.

Rules
-----
- Nothing is believed: a type is accepted when it is one of `TYPES` and the bytes are of it.
- A document itself is not kept: its digest, size and name are, and of a text its beginning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from ecoload.sandbox.common.problems import Problem

MAX_BYTES = 256 * 1024
MAX_NAME = 120
MAX_EXCERPT = 400
FIELD = "document"
TYPES = ("text/plain", "application/pdf", "image/png")

_AROUND_BYTES = 16 * 1024
"""What the rest of a form may take."""
_MAX_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Upload:
    """A document that is acceptable. `digest` is its SHA-256 in hex."""

    name: str
    content_type: str
    size: int
    digest: str
    excerpt: str


async def read_form(request: web.Request) -> tuple[Upload | None, Mapping[str, str]]:
    """The document of a multipart form, if one was chosen, and the other fields. Raises Problem."""
    if request.content_type != "multipart/form-data":
        raise Problem(415, "the content type must be multipart/form-data")
    whole = request.clone(client_max_size=MAX_BYTES + _AROUND_BYTES, client_max_fields=_MAX_FIELDS)
    try:
        form = await whole.post()
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:  # the reader of multipart has no error of its own for all that can be wrong
        raise Problem(400, f"the body is not multipart/form-data: {type(error).__name__}") from None
    fields, files = {}, []
    for name, value in form.items():
        if isinstance(value, web.FileField):
            with value.file as file:
                files.append((name, value.filename, value.content_type, file.read()))
        elif isinstance(value, str):
            fields[name] = value
    if len(files) > 1 or any(name != FIELD for name, *_ in files):
        raise Problem(422, f"there must be one file, in the field {FIELD}")
    return (accept(*files[0][1:]) if files else None), fields


async def read_raw(request: web.Request) -> Upload:
    """The document that is the body itself, named in the query. Raises Problem."""
    whole = request.clone(client_max_size=MAX_BYTES)
    return accept(request.query.get("name", "document"), request.content_type, await whole.read())


def accept(name: str, declared: str, content: bytes) -> Upload:
    """The document, when name, type and content are acceptable; else a Problem."""
    content_type = declared.partition(";")[0].strip().lower()
    if len(content) > MAX_BYTES:
        raise Problem(413, f"a document has at most {MAX_BYTES // 1024} KiB")
    if content_type not in TYPES:
        raise Problem(415, f"a document must be of {', '.join(TYPES)}")
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or "/" in name or "\\" in name:
        raise Problem(422, f"a document's name has 1 to {MAX_NAME} characters, none of them / or \\")
    if not content:
        raise Problem(422, "the document is empty")
    excerpt = _excerpt(content_type, content)
    if excerpt is None:
        raise Problem(422, f"the document is not what it says to be: {content_type}")
    return Upload(name, content_type, len(content), hashlib.sha256(content).hexdigest(), excerpt)


def _excerpt(content_type: str, content: bytes) -> str | None:
    """What a reader is shown of the content; None when it is not of its type."""
    if content_type == "application/pdf":
        return "" if content.startswith(b"%PDF-") else None
    if content_type == "image/png":
        return "" if content.startswith(b"\x89PNG\r\n\x1a\n") else None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text[:MAX_EXCERPT]
