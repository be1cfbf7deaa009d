"""A5's documents: taken in by the page or by the API, kept before they are answered, assessed by A4.

Rules
-----
- A document that was acknowledged is committed; its assessment follows in the background, and a person
  who uploads waits a moment for it.
- A person sees its own documents; who has a token of A1 sees each by its id.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import asdict, dataclass

from aiohttp import web

from ecoload.sandbox.a5.assessments import Assessments
from ecoload.sandbox.a5.uploads import Upload, read_form, read_raw
from ecoload.sandbox.common.problems import Problem, answer, lineage_of, query_namespace, run_of
from ecoload.sandbox.common.store import Store

MOST_SHOWN = 50

_COLUMNS = (
    "document_id, name, content_type, size, digest, status, outcome, tokens, tries, lineage_id, run_id, at,"
    " processed_at"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A document and what became of it."""

    document_id: str
    name: str
    content_type: str
    size: int
    sha256: str
    status: str
    outcome: str | None
    tokens: int | None
    tries: int
    lineage_id: str
    run_id: str | None
    at: int
    processed_at: int | None


class Documents:
    """The documents; they are in A5's store, whose schema has that of the assessments."""

    def __init__(self, store: Store, assessments: Assessments) -> None:
        self._store = store
        self._assessments = assessments

    def routes(self) -> list[web.RouteDef]:
        """Both are for who has a token."""
        return [
            web.post("/api/documents", self._upload, name="document_upload"),
            web.get("/api/documents/{document_id}", self._document, name="document"),
        ]

    async def keep(self, request: web.Request, upload: Upload, owner: str | None) -> str:
        """Takes a document in, of the person `owner` if it came by the page; its id."""
        document_id, lineage_id, run_id = f"doc_{uuid.uuid4().hex[:20]}", lineage_of(request), run_of(request)

        def insert(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO documents"
                " (document_id, owner, name, content_type, size, digest, excerpt, lineage_id, run_id, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document_id,
                    owner,
                    upload.name,
                    upload.content_type,
                    upload.size,
                    upload.digest,
                    upload.excerpt,
                    lineage_id,
                    run_id,
                    time.time_ns() // 1_000_000,
                ),
            )

        await self._store.write(insert)
        self._assessments.wake()
        return document_id

    async def of(self, owner: str) -> list[Document]:
        """A person's documents, the newest first."""
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM documents WHERE owner = ? ORDER BY at DESC LIMIT {MOST_SHOWN}", (owner,)
        )
        return [Document(*row) for row in rows]

    async def _upload(self, request: web.Request) -> web.Response:
        query_namespace(request)
        if request.content_type == "multipart/form-data":
            upload, _ = await read_form(request)
            if upload is None:
                raise Problem(422, "there is no document in the form")
        else:
            upload = await read_raw(request)
        return answer(asdict(await self._find(await self.keep(request, upload, None))), status=202)

    async def _document(self, request: web.Request) -> web.Response:
        return answer(asdict(await self._find(request.match_info["document_id"])))

    async def _find(self, document_id: str) -> Document:
        rows = await self._store.read(
            f"SELECT {_COLUMNS} FROM documents WHERE document_id = ?", (document_id,)
        )
        if not rows:
            raise Problem(404, "there is no such document")
        return Document(*rows[0])
