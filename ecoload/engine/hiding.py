"""Whether an answer holds what must not be written down: a target may say again what it was sent.

Rules
-----
- Looked for in every text of a document, keys included, and in the document as JSON; what is encoded in
  another way is not recognised, nor a secret so short that any answer may hold it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

HIDDEN = "(hidden)"
"""What stands where a secret stood."""
LEAST = 4
"""Characters of a secret that is looked for."""


def holds_secret(document: Any, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets stands in a JSON document."""
    texts = [json.dumps(document, ensure_ascii=False), *_texts(document)]
    return any(secret in text for secret in secrets if len(secret) >= LEAST for text in texts)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with a mark in place of each secret, as it stands, in a URL or in JSON."""
    for secret in sorted({secret for secret in secrets if len(secret) >= LEAST}, key=len, reverse=True):
        for spelling in dict.fromkeys((secret, quote(secret, safe=""), json.dumps(secret)[1:-1])):
            text = text.replace(spelling, HIDDEN)
    return text


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key, item in document.items():
            yield key
            yield from _texts(item)
    elif isinstance(document, list):
        for item in document:
            yield from _texts(item)
