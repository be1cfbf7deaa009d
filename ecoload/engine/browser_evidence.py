"""What is kept of a browser's run: pictures, the film, the HAR, the trace, without anybody's secrets.

Rules
-----
- What must not be kept is found first, in what was sent and answered: cookies, tokens, passwords, one-time
  codes, by where they stand (HAR 1.2, RFC 6265, RFC 6749, RFC 7636). Then each is replaced wherever it
  stands, in every text that is kept, as it is, in a URL, in JSON and in HTML; a cookie's value is, whoever
  repeats it.
- What is known to be secret beforehand (the secrets of the plan) is replaced in the same way.
- A trace that cannot be read is not kept, and that is said.
- Pictures and the film are kept as they are: a password field shows none.
"""

from __future__ import annotations

import base64
import html
import json
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from ecoload.engine.hiding import HIDDEN, LEAST

MOST_TRACE = 512 << 20
"""Of a trace, unpacked, that is read."""
HEADERS = frozenset(
    "authorization proxy-authorization cookie set-cookie x-api-key x-auth-token x-csrf-token".split()
)
NAMES = re.compile(
    r"pass(word|wd|phrase)?|secret|token|(^|_)code(_verifier|_challenge)?$|^state$|^nonce$|credential|api_?key"
    r"|assertion|sign_in|session|otp|^sid$|csrf",
    re.IGNORECASE,
)
"""Fields whose values prove who somebody is."""
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_INPUT = re.compile(r"<input\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([A-Za-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def sensitive_in_har(har: Any) -> set[str]:
    """Whatever must not be kept, of a HAR as a tree."""
    entries = ((har or {}).get("log") or {}).get("entries") or ()
    return {value for entry in entries for value in _of_entry(entry)}


def sensitive_in_trace(path: Path) -> set[str]:
    """Whatever must not be kept, of a trace: what went over the network, what was typed into such fields.
    Raises ValueError where it is no trace."""
    found: set[str] = set()
    for name, content in _members(path):
        if name.endswith((".trace", ".network")):
            for line in content.decode("utf-8", "replace").splitlines():
                found |= set(_of_trace(line))
        elif b"<input" in content[:1_000_000]:
            found |= set(_of_html(content.decode("utf-8", "replace")))
    return found


def hide_in_text(text: str, secrets: Iterable[str]) -> str:
    """`text` with a mark for each secret, and for whatever looks like a signed token."""
    return _JWT.sub(HIDDEN, hide(text.encode(), secrets).decode())


def hide(content: bytes, secrets: Iterable[str]) -> bytes:
    """Bytes with a mark for each secret, in every spelling that it may stand in."""
    for secret in sorted(_worth(secrets), key=len, reverse=True):
        for spelling in _spellings(secret):
            content = content.replace(spelling, HIDDEN.encode())
    return content


def hidden_har(har: Any, secrets: Collection[str]) -> bytes:
    """A HAR to be kept."""
    return hide_in_text(json.dumps(_marked(har), ensure_ascii=False, indent=1), secrets).encode()


def write_hidden_trace(source: Path, target: Path, secrets: Collection[str]) -> None:
    """A trace to be kept. Raises ValueError where it is none."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as kept:
        for name, content in _members(source):
            clean = hide(content, secrets)
            if name.endswith((".trace", ".network", ".stacks")):
                clean = hide_in_text(clean.decode("utf-8", "replace"), ()).encode()
            kept.writestr(name, clean)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as trace:
            if sum(member.file_size for member in trace.infolist()) > MOST_TRACE:
                raise ValueError(f"{path.name} unpacks to more than {MOST_TRACE >> 20} MiB")
            for member in trace.infolist():
                yield member.filename, trace.read(member)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path.name} is no trace: {error}") from error


# --- where secrets stand --------------------------------------------------------------------------


def _of_entry(entry: Any) -> Iterator[str]:
    """Of one request and its answer."""
    request, response = entry.get("request") or {}, entry.get("response") or {}
    yield from _of_url(str(request.get("url") or ""))
    for side in (request, response):
        yield from (str(cookie.get("value")) for cookie in side.get("cookies") or ())
        for header in side.get("headers") or ():
            yield from _of_header(str(header.get("name")), str(header.get("value")))
    yield from _of_url(str(response.get("redirectURL") or ""))
    data = request.get("postData") or {}
    for field in data.get("params") or ():
        yield from _of_field(str(field.get("name")), str(field.get("value")))
    yield from _of_body(str(data.get("mimeType") or ""), str(data.get("text") or ""))
    content = response.get("content") or {}
    yield from _of_body(str(content.get("mimeType") or ""), str(content.get("text") or ""))


def _of_url(url: str) -> Iterator[str]:
    parts = urlsplit(url) if len(url) < 100_000 else urlsplit("")
    for text in (parts.query, parts.fragment):
        for name, value in parse_qsl(text):
            yield from _of_field(name, value)
            if value.startswith(("http://", "https://", "/")) and "?" in value:
                yield from _of_url(value)


def _of_header(name: str, value: str) -> Iterator[str]:
    name = name.lower()
    if name == "location":
        yield from _of_url(value)
    if name not in HEADERS:
        return
    if name == "cookie":
        yield from (pair.partition("=")[2].strip() for pair in value.split(";"))
    elif name == "set-cookie":
        # Several stand in one value, a line each.
        yield from (line.partition(";")[0].partition("=")[2].strip() for line in value.splitlines())
    else:
        yield value
        yield value.partition(" ")[2]
        yield from _of_basic(value)


def _of_basic(value: str) -> Iterator[str]:
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(rest).decode().partition(":")[2]
        except ValueError:
            return


def _of_field(name: str, value: str) -> Iterator[str]:
    if NAMES.search(name):
        yield value


def _of_body(kind: str, text: str) -> Iterator[str]:
    if "json" in kind:
        try:
            yield from _of_json(json.loads(text))
        except (ValueError, RecursionError):
            return
    elif "form-urlencoded" in kind:
        for name, value in parse_qsl(text):
            yield from _of_field(name, value)
    elif "multipart" in kind:
        for name, value in re.findall(r'name="([^"]*)"\r?\n\r?\n(.*?)\r?\n--', text, re.DOTALL):
            yield from _of_field(name, value)
    elif "html" in kind:
        yield from _of_html(text)


def _of_json(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _of_json(item)
    elif isinstance(node, dict):
        for name, item in node.items():
            if isinstance(item, str):
                yield from _of_field(name, item)
            else:
                yield from _of_json(item)


def _of_html(text: str) -> Iterator[str]:
    """What stands in hidden fields of such names: form tokens."""
    for tag in _INPUT.findall(text):
        found = {name.lower(): html.unescape(a or b) for name, a, b in _ATTRIBUTE.findall(tag)}
        if found.get("value"):
            yield from _of_field(found.get("name", ""), found["value"])


def _of_trace(line: str) -> Iterator[str]:
    try:
        event = json.loads(line)
    except ValueError:
        return
    if not isinstance(event, dict):
        return
    if event.get("type") == "resource-snapshot":
        yield from _of_entry(event.get("snapshot") or {})
    params = event.get("params")
    # What was typed into a field that is called so.
    if isinstance(params, dict) and NAMES.search(str(params.get("selector") or "")):
        yield str(params.get("value") or "")
    yield from _of_snapshot(event)


def _of_snapshot(event: dict[str, Any]) -> Iterator[str]:
    """Values in pictures of the page: `["INPUT", {"name": …, "__playwright_value_": …}]`."""
    picture = event.get("snapshot")
    waiting: list[Any] = [picture.get("html")] if isinstance(picture, dict) else []
    while waiting:
        node = waiting.pop()
        if not isinstance(node, list):
            continue
        if len(node) > 1 and node[0] == "INPUT" and isinstance(node[1], dict):
            attributes = {str(name).lower(): str(value) for name, value in node[1].items()}
            secret = attributes.get("type") == "password" or NAMES.search(attributes.get("name", ""))
            if secret:
                yield attributes.get("value", "")
                yield attributes.get("__playwright_value_", "")
        waiting += node


# --- replacing ------------------------------------------------------------------------------------


def _marked(har: Any) -> Any:
    """A HAR in which the values of such headers, cookies and fields are marks, however short they are."""
    for entry in ((har or {}).get("log") or {}).get("entries") or ():
        for side in (entry.get("request") or {}, entry.get("response") or {}):
            for header in side.get("headers") or ():
                if str(header.get("name")).lower() in HEADERS:
                    header["value"] = HIDDEN
            for cookie in side.get("cookies") or ():
                cookie["value"] = HIDDEN
            fields = [*(side.get("queryString") or ()), *((side.get("postData") or {}).get("params") or ())]
            for field in fields:
                if NAMES.search(str(field.get("name"))):
                    field["value"] = HIDDEN
    return har


def _worth(secrets: Iterable[str]) -> set[str]:
    """Those that are no everyday word: what is so short may stand anywhere."""
    return {secret for secret in secrets if len(secret) >= LEAST and secret != HIDDEN}


def _spellings(secret: str) -> list[bytes]:
    escaped = json.dumps(secret)[1:-1]
    texts = (
        *(secret, quote(secret, safe=""), quote_plus(secret), escaped, json.dumps(escaped)[1:-1]),
        *(html.escape(secret), html.escape(secret, quote=False)),
        json.dumps(secret, ensure_ascii=False)[1:-1],
    )
    spellings = {text.encode() for text in texts}
    if len(secret) >= 2 * LEAST:
        spellings.add(base64.b64encode(secret.encode()))
    # One may stand in another: twice escaped is once escaped with more before it.
    return sorted(spellings, key=len, reverse=True)
