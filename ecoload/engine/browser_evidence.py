"""What is kept of a browser's run: pictures, the film, the HAR, the trace, without anybody's secrets.

Rules
-----
- What must not be kept is found first, in what was sent and answered: cookies, tokens, passwords, one-time
  codes, by where they stand (HAR 1.2, RFC 6265, RFC 6749, RFC 7636). Then each is replaced wherever it
  stands, in every text that is kept, as it is, in a URL, in JSON and in HTML; a cookie's value is, whoever
  repeats it.
- What is known to be secret beforehand (the secrets of the plan) is replaced in the same way.
- A trace that cannot be read is not kept, and that is said.
- In JSON, text is replaced within texts alone, so that JSON stays JSON; one that is all digits may be a
  number somewhere, and that number stays.
- Pictures and the film are kept as they are: a password field shows none.
"""

from __future__ import annotations

import base64
import html
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
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
"""Fields whose values prove who somebody is, and so do headers'."""
_HARMLESS = re.compile(
    r"(types?|enabled|required|length|count|hint|policy|rule|expir(y|es|es_in|es_at))$", re.I
)
"""Such a field that only tells of one: `token_type`."""
MOST_BODY = 8 << 20
"""Of a body that is looked into."""
_JSON_LINES = (".trace", ".network", ".stacks")
_PICTURES = (".png", ".jpeg", ".jpg", ".webp", ".gif")
_FILM = (b"\x1aE\xdf\xa3", b"\x89PNG")
"""What pictures and films that are called by their digests begin with."""
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_INPUT = re.compile(r"<input\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([A-Za-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


Body = Callable[[Any], str]
"""The text that a HAR's `postData` or `content` holds, or leads to."""


class Hider:
    """Puts a mark in place of each secret, in every spelling that it may stand in, and of whatever looks like
    a signed token."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spelled = {spelling for secret in _worth(secrets) for spelling in _spellings(secret)}
        # The longest first: one may stand in another, as what is escaped once in what is escaped twice.
        words = sorted(spelled, key=len, reverse=True)
        self._text = re.compile("|".join([*map(re.escape, words), _JWT.pattern]))
        encoded = [word.encode("utf-8", "surrogatepass") for word in words]
        self._bytes = re.compile(b"|".join([*map(re.escape, encoded), _JWT.pattern.encode()]))

    def text(self, text: str) -> str:
        return self._text.sub(HIDDEN, text)

    def data(self, content: bytes) -> bytes:
        return self._bytes.sub(HIDDEN.encode(), content)

    def tree(self, node: Any) -> Any:
        """A JSON document, its keys included."""
        if isinstance(node, str):
            return self.text(node)
        if isinstance(node, list):
            return [self.tree(item) for item in node]
        if isinstance(node, dict):
            return {self.text(name): self.tree(item) for name, item in node.items()}
        return node

    def lines(self, content: bytes) -> bytes:
        """Lines of JSON; one that is none, as text."""
        return b"\n".join(self._line(line) for line in content.split(b"\n"))

    def _line(self, line: bytes) -> bytes:
        if not line.startswith((b"{", b"[")):
            return self.data(line)
        try:
            return json.dumps(self.tree(json.loads(line)), separators=(",", ":")).encode()
        except (ValueError, RecursionError):
            return self.data(line)


def sensitive_in_har(har: Any) -> set[str]:
    """Whatever must not be kept, of a HAR as a tree."""
    entries = _list(_dict(_dict(har).get("log")).get("entries"))
    return {value for entry in entries for value in _of_entry(entry, _told)}


def sensitive_in_trace(path: Path) -> set[str]:
    """Whatever must not be kept, of a trace: what went over the network, what was typed into such fields,
    what stood in them. Raises ValueError where it is no trace."""
    found: set[str] = set()
    with _opened(path) as trace:
        sizes = {member.filename: member.file_size for member in trace.infolist()}

        def body(holder: Any) -> str:
            """Bodies stand in files of their own."""
            name = str(_dict(holder).get("_file") or f"resources/{_dict(holder).get('_sha1')}")
            if not 0 < sizes.get(name, 0) <= MOST_BODY:
                return _told(holder)
            return trace.read(name).decode("utf-8", "replace")

        for name in sizes:
            if name.endswith((".trace", ".network")):
                for line in trace.read(name).decode("utf-8", "replace").splitlines():
                    found |= set(_of_trace(line, body))
    return found


def failed_requests(har: Any) -> list[str]:
    """What went wrong on the network, each once: what got no answer or a 5xx, without query and fragment.
    What a page left before it was answered (`ERR_ABORTED`) is not wrong."""
    found = []
    for entry in map(_dict, _list(_dict(_dict(har).get("log")).get("entries"))):
        request, response = _dict(entry.get("request")), _dict(entry.get("response"))
        why, status = str(response.get("_failureText") or ""), response.get("status")
        if isinstance(status, int) and status >= 500:
            why = str(status)
        if why and "ERR_ABORTED" not in why:
            url = re.split(r"[?#]", str(request.get("url")))[0]
            found.append(f"{request.get('method')} {url}: {why}")
    return list(dict.fromkeys(found))


def hidden_har(har: Any, secrets: Collection[str]) -> bytes:
    """A HAR to be kept."""
    return json.dumps(Hider(secrets).tree(_marked(har)), ensure_ascii=False, indent=1).encode()


def write_hidden_trace(source: Path, target: Path, secrets: Collection[str]) -> None:
    """A trace to be kept. Raises ValueError where it is none."""
    hider = Hider(secrets)
    with _opened(source) as trace, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as kept:
        for name in trace.namelist():
            content = trace.read(name)
            if name.endswith(_JSON_LINES):
                kept.writestr(name, hider.lines(content))
            elif name.endswith(_PICTURES) or content.startswith(_FILM):
                kept.writestr(name, content)
            else:
                kept.writestr(name, hider.data(content))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as trace:
            if sum(member.file_size for member in trace.infolist()) > MOST_TRACE:
                raise ValueError(f"{path.name} unpacks to more than {MOST_TRACE >> 20} MiB")
            yield trace
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path.name} is no trace: {error}") from error


def _told(holder: Any) -> str:
    """The text in a `postData` or a `content` itself."""
    told = _dict(holder)
    text = str(told.get("text") or "")
    if told.get("encoding") == "base64":
        try:
            return base64.b64decode(text).decode("utf-8", "replace")
        except ValueError:
            return ""
    return text


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- where secrets stand --------------------------------------------------------------------------


def _of_entry(entry: Any, body: Body) -> Iterator[str]:
    """Of one request and its answer."""
    request, response = _dict(_dict(entry).get("request")), _dict(_dict(entry).get("response"))
    yield from _of_url(str(request.get("url") or ""))
    for side in (request, response):
        yield from (str(_dict(cookie).get("value")) for cookie in _list(side.get("cookies")))
        for header in map(_dict, _list(side.get("headers"))):
            yield from _of_header(str(header.get("name")), str(header.get("value")))
    yield from _of_url(str(response.get("redirectURL") or ""))
    for field in map(_dict, _list(_dict(request.get("postData")).get("params"))):
        yield from _of_field(str(field.get("name")), str(field.get("value")))
    for holder in (request.get("postData"), response.get("content")):
        if isinstance(holder, dict):
            yield from _of_body(str(holder.get("mimeType") or ""), body(holder))


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
    if name not in HEADERS and not _is_telling(name):
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
    if _is_telling(name):
        yield value


def _is_telling(name: str) -> bool:
    return NAMES.search(name) is not None and _HARMLESS.search(name) is None


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


def _of_trace(line: str, body: Body) -> Iterator[str]:
    try:
        event = json.loads(line)
    except ValueError:
        return
    if not isinstance(event, dict):
        return
    if event.get("type") == "resource-snapshot":
        yield from _of_entry(event.get("snapshot"), body)
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
            secret = attributes.get("type") == "password" or _is_telling(attributes.get("name", ""))
            if secret:
                yield attributes.get("value", "")
                yield attributes.get("__playwright_value_", "")
        waiting += node


# --- replacing ------------------------------------------------------------------------------------


def _marked(har: Any) -> Any:
    """A HAR in which the values of such headers, cookies and fields are marks, however short they are."""
    for entry in map(_dict, _list(_dict(_dict(har).get("log")).get("entries"))):
        for side in (_dict(entry.get("request")), _dict(entry.get("response"))):
            for header in map(_dict, _list(side.get("headers"))):
                name = str(header.get("name")).lower()
                if name in HEADERS or _is_telling(name):
                    header["value"] = HIDDEN
            for cookie in map(_dict, _list(side.get("cookies"))):
                cookie["value"] = HIDDEN
            params = _list(_dict(side.get("postData")).get("params"))
            for field in map(_dict, [*_list(side.get("queryString")), *params]):
                if _is_telling(str(field.get("name"))):
                    field["value"] = HIDDEN
    return har


def _worth(secrets: Iterable[str]) -> set[str]:
    """Those that are no everyday word: what is so short may stand anywhere."""
    return {secret for secret in secrets if len(secret) >= LEAST and secret != HIDDEN}


def _spellings(secret: str) -> set[str]:
    escaped = json.dumps(secret)[1:-1]
    found = {
        *(secret, quote(secret, safe="", errors="surrogatepass"), quote_plus(secret, errors="surrogatepass")),
        *(escaped, json.dumps(escaped)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]),
        *(html.escape(secret), html.escape(secret, quote=False)),
    }
    if len(secret) >= 2 * LEAST:
        found.add(base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode())
    return found
