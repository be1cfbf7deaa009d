"""The shape of `targets.yaml`: the protocol, the apps, their routes and levels, the profiles.

Rules
-----
- What is not stated is the careful choice: an app without `environment` is production, one without
  `writes` is read-only, and a route must say whether it writes.
- An address is a scheme, a host and perhaps a path, or the word `sandbox`; it may read the environment
  (`${A2_URL:-sandbox}`) and holds no credentials.
- Secrets are declared by reference (`env:` or `file:`) and never read here.
- Tokens come from an app of the file too: every host that is talked to is one.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ecoload.plan import NamespaceAt, Origin
from ecoload.spec import template
from ecoload.spec.phases import KnownIssueShape, PhaseShape, Word
from ecoload.spec.profiles import Conditions, Profile, Share, Slo
from ecoload.spec.shape import Count, Duration, EachEntry, EachItem, Model, Name, PositiveDuration, Rate, Size

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
ENGINE_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "traceparent"})
"""Headers that nobody writes: the engine does."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE = re.compile(r"[\r\n\0]")
_VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_APP_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"


def header_name(name: str) -> str:
    """A header that may be written. Raises ValueError."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if name.lower() in ENGINE_HEADERS:
        raise ValueError(f"{name} is set by ecoload itself; leave it out")
    return name


def safe_text(text: str) -> str:
    """A text without CR, LF and NUL. Raises ValueError."""
    if _UNSAFE.search(text):
        raise ValueError("CR, LF and NUL must not stand here")
    return text


def route_path(path: str) -> str:
    """A declared path: `/v1/events/{id}`. Raises ValueError."""
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f"expected a path that begins with one '/', got {path!r}")
    if "${" in path:
        raise ValueError("a route's path takes placeholders such as {id}; the step fills them in")
    if re.search(r"[\s\x00-\x1f\x7f?#\\]", path) or not path.isascii():
        raise ValueError(f"expected a plain path without blanks, '?' or '#', got {path!r}")
    if {".", ".."} & set(path.split("/")):
        raise ValueError("a path takes no '.' and '..'")
    names = placeholders(path)
    if re.search(r"[{}]", _PLACEHOLDER.sub("", path)) or len(names) != len(set(names)):
        raise ValueError(f"expected placeholders such as {{id}}, each once, got {path!r}")
    return path


def placeholders(path: str) -> list[str]:
    return _PLACEHOLDER.findall(path)


_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def json_path(path: str) -> str:
    """A JSON path of RFC 9535. Raises ValueError."""
    from jsonpath_rfc9535 import JSONPathError
    from jsonpath_rfc9535 import compile as compile_path

    try:
        compile_path(path)
    except JSONPathError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected a JSON path such as $.a.b[0], got {path!r} ({reason})") from None
    return path


Path = Annotated[str, AfterValidator(route_path)]
HeaderName = Annotated[str, AfterValidator(header_name)]
JsonPath = Annotated[str, AfterValidator(json_path)]
Template = Annotated[str, AfterValidator(safe_text), WithJsonSchema({"type": "string"})]
VariableName = Annotated[str, Field(pattern=_VARIABLE_NAME)]


def _denied(text: str) -> str:
    method, _, path = text.partition(" ")
    if method != "*" and method.lower() not in METHODS:
        raise ValueError(f"expected a method or *, and a path, such as `POST /v1/charges`, got {text!r}")
    if not path.startswith("/") or re.search(r"[\s?#\\{}]", path) or "**" in path.removesuffix("/**"):
        raise ValueError(f"expected a path such as /v1/charges, /v1/*/refunds or /admin/**, got {text!r}")
    return text


Denied = Annotated[str, AfterValidator(_denied), WithJsonSchema({"type": "string"})]
HostPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*.:_-]+$", max_length=253)]


class Protocol(Model):
    """What stands at the head of every report."""

    name: str = "Performance Testing v1.0"
    assigned_app: str = ""
    version: str = ""
    mode: str = ""
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)] = "perf_test"
    """Where writes must stand."""


class Defaults(Model):
    slo: Slo = Slo(p95_ms=150.0, p95_stretch_ms=120.0, error_rate=0.01)
    uptime: Share = 0.999
    """Share of the availability probes that must be answered while a suite runs."""


class Guardrails(Model):
    approval_over_vus: Count = 60
    """More VUs than this need a human's approval."""
    production_hosts: Annotated[list[HostPattern], Field(default_factory=list)]
    """Hosts that are production whatever their app says: `*.example.com`."""
    deny: Annotated[list[Denied], Field(default_factory=list)]
    """What is never sent: a method or `*`, and a path (`*` in a segment, `**` for any rest)."""


class Http(Model):
    """Limits of the client."""

    connect_timeout: PositiveDuration = 10_000_000_000
    max_header: Annotated[Size, Field(ge=1024)] = 65_536
    max_body: Annotated[Size, Field(ge=1024)] = 33_554_432
    proxy: Template | None = None


class Question(Model):
    """A GET beside the load."""

    get: Template
    """the path to get, such as /healthz"""

    @model_validator(mode="after")
    def _path(self) -> Self:
        if not self.get.startswith("/") or self.get.startswith("//"):
            raise ValueError(f"get: expected a path that begins with one '/', got {self.get!r}")
        return self


class Probe(Question):
    """A GET, and a JSON path in its answer."""

    json_: Annotated[JsonPath, Field(alias="json")]
    """a JSON path, such as $.version"""


class MetricsShape(Question):
    """Where an app tells its metrics, in the text format of Prometheus."""

    resident_memory: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")] | None = None
    """The metric that is its resident memory in bytes."""


def _scalar(value: Any) -> Any:
    """One value, as a JSON answer may have it. Raises ValueError."""
    if isinstance(value, dict | list):
        raise ValueError("expected one value: a text, a number, true, false or null")
    return value


class ProofShape(Probe):
    """A question asked after the load, and its answer."""

    is_: Annotated[
        Any,
        BeforeValidator(_scalar),
        Field(alias="is"),
        WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
    ]
    """what the answer must be, type included: true is not 1"""
    within: Duration = 0
    """How long it may take until the answer is that; asked once where not stated."""


class Namespace(Model):
    """Where the namespace stands in a write."""

    in_: Annotated[Literal["json", "query", "header", "form", "path"], Field(alias="in")]
    """one of json, query, header, form, path"""
    at: Annotated[str, Field(min_length=1)]
    """the key, dotted path or placeholder that holds the namespace"""

    def value(self) -> NamespaceAt:
        return NamespaceAt(self.in_, self.at)


class Route(Model):
    """What may be sent: one method and path, and whether it writes."""

    get: Path | None = None
    post: Path | None = None
    put: Path | None = None
    patch: Path | None = None
    delete: Path | None = None
    head: Path | None = None
    options: Path | None = None
    effect: Literal["none", "write", "fault"]
    """say `effect: none`, `effect: write`, or `effect: fault` where it makes the app misbehave on purpose"""
    auth: Literal["none"] | None = None
    """`none`: sent without the app's token."""
    namespace: Namespace | None = None
    slo: Slo | None = None
    remedy: Word | None = None
    """What to do where it fails; shown beside the failure."""

    @property
    def method(self) -> str:
        return next(m for m in METHODS if getattr(self, m) is not None).upper()

    @property
    def path(self) -> str:
        return str(getattr(self, self.method.lower()))

    @property
    def open_placeholders(self) -> list[str]:
        """What a step has to fill in, the namespace not counted."""
        at = self.namespace.at if self.namespace and self.namespace.in_ == "path" else None
        return [name for name in placeholders(self.path) if name != at]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [m for m in METHODS if getattr(self, m) is not None]
        if len(given) != 1:
            found = f"got {' and '.join(given)}" if given else "got none"
            raise ValueError(f"expected one method with its path, such as `get: /healthz`; {found}")
        if self.effect == "write" and self.namespace is None:
            raise ValueError(
                "a route that writes says where its namespace stands: namespace: {in: json, at: KEY}"
            )
        if self.effect != "write" and self.namespace is not None:
            raise ValueError("namespace: belongs to routes with effect: write")
        if (
            self.namespace
            and self.namespace.in_ == "path"
            and self.namespace.at not in placeholders(self.path)
        ):
            raise ValueError(f"namespace: the path has no placeholder {{{self.namespace.at}}}")
        return self


class PersistenceShape(Model):
    """The proof that what was acknowledged was kept."""

    route: Name
    """the route whose acknowledged writes are counted"""
    count: Probe
    """a GET that tells how many were kept"""


class StationShape(Question):
    """Where events are read back, page by page; `${cursor}` in the path is where a page begins."""

    app: Name | None = None
    """The app that is asked; the one that it stands under where not stated."""
    items: JsonPath
    """the JSON path of a page's list, such as $.events"""
    id: JsonPath
    """the JSON path of the id within one of its items, such as $.event_id"""
    next: JsonPath
    """the JSON path of the next page's cursor, null or absent on the last"""
    first: Annotated[str | int, Field(union_mode="left_to_right")] = ""
    """The cursor of the first page."""
    time: JsonPath | None = None
    """Within an item: when it came in, in whole ms since 1970."""
    within: Duration = 0
    """How long after its acknowledgement an event may come in."""

    @model_validator(mode="after")
    def _paged(self) -> Self:
        if self.get.count("${cursor}") != 1 or "${cursor}" not in self.get.partition("?")[2]:
            raise ValueError("get: expected ${cursor} once, in the query, such as ?after=${cursor}")
        return self


class LineageShape(Model):
    """The proof that every event of a run came to each of its stations, once."""

    route: Name
    """the route that events are sent to"""
    id: Annotated[str, Field(pattern=_VARIABLE_NAME)]
    """the `let` of the scenario that names an event"""
    stations: Annotated[dict[Name, StationShape], Field(min_length=1), EachEntry]
    """where they are read back, by name"""


class Tls(Model):
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key come together")
        return self


class Secret(Model):
    """Where a secret is: never the secret."""

    env: VariableName | None = None
    file: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("expected one of {env: NAME} and {file: PATH}")
        return self

    @property
    def reference(self) -> str:
        return f"env:{self.env}" if self.env is not None else f"file:{self.file}"


def _token_url(text: str) -> str:
    app, separator, path = text.partition(":")
    if not separator or not re.fullmatch(_APP_NAME, app) or path.startswith("//"):
        raise ValueError(
            f"expected APP:/path, such as a1:/oidc/token, got {text!r}; the host of tokens is an app of "
            "this file too"
        )
    if placeholders(route_path(path)):
        raise ValueError(f"expected a path without placeholders, got {path!r}")
    return text


def _named_secret(value: Any) -> Any:
    if not isinstance(value, dict):
        # What stands here may be the secret itself: it is not repeated.
        raise ValueError("expected {secret: NAME}, the name of one of the app's secrets:")
    return value


class SecretName(Model):
    """A secret by its name."""

    secret: VariableName
    """the name of one of the app's secrets:"""


class ClientCredentialsShape(Model):
    """How ecoload gets a token: OAuth 2.0 client credentials."""

    token_url: Annotated[str, AfterValidator(_token_url)]
    """the app that issues tokens, and the path: a1:/oidc/token"""
    client_id: Annotated[str, Field(pattern=r"^[\x20-\x7e]+$", max_length=256)]
    """the name of this client"""
    client_secret: Annotated[SecretName, BeforeValidator(_named_secret)]
    """{secret: NAME}, one of the app's secrets:"""
    scope: Annotated[str, Field(pattern=r"^([\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*)?$")] = ""

    @property
    def app(self) -> str:
        return self.token_url.partition(":")[0]

    @property
    def path(self) -> str:
        return self.token_url.partition(":")[2]


class Auth(Model):
    """Who the app's requests come from."""

    client_credentials: ClientCredentialsShape
    """say how a token is got: {token_url: …, client_id: …, client_secret: {secret: NAME}}"""


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"expected an IP address, got {text!r}") from None


class App(Model):
    """One service: where it is, what may be sent to it, and what it must reach."""

    base_url: Template
    """an http or https address, or `sandbox`"""
    environment: Annotated[str, Field(min_length=1)] = "production"
    writes: str | None = None
    """The namespace that may be written; read-only where not stated."""
    max_rps: Rate | None = None
    version_from: Probe | None = None
    health: Annotated[list[Name], Field(default_factory=list)]
    """The routes that tell whether it is up; the first one is probed while a suite runs."""
    routes: Annotated[dict[Name, Route], EachEntry, Field(default_factory=dict)]
    scenarios: Annotated[list[Name], Field(min_length=1)] | None = None
    """The scenarios of this app; a profile runs the first unless it names another."""
    profiles: Annotated[dict[str, dict[str, Any]], EachEntry, Field(default_factory=dict)]
    """Keys that replace those of a profile, for this app."""
    abort_when: Conditions
    persistence: PersistenceShape | None = None
    lineage: LineageShape | None = None
    """Every event is followed, from its acknowledgement to each station."""
    resiliency: Annotated[Any, WithJsonSchema({"type": "object"})] = None
    """The fault that is injected, the breaker that is watched, and the oracles (docs/resiliency.md)."""
    cleanup: Name | None = None
    """The route that deletes the test data in the app's namespace; `ecoload cleanup` sends it."""
    request_count: Probe | None = None
    proofs: Annotated[dict[Name, ProofShape], EachEntry, Field(default_factory=dict)]
    """Questions asked after the load, by name."""
    metrics: MetricsShape | None = None
    resolve: Annotated[list[Annotated[str, AfterValidator(_address)]], Field(default_factory=list)]
    """Addresses to dial in place of what the name resolves to."""
    tls: Tls = Tls()
    headers: Annotated[dict[HeaderName, Template], Field(default_factory=dict)]
    """Sent with each request."""
    auth: Auth | None = None
    """The token that each request carries."""
    secrets: Annotated[dict[VariableName, Secret], EachEntry, Field(default_factory=dict)]
    env: Annotated[list[VariableName], Field(default_factory=list)]
    """Environment variables that `${env.NAME}` may read."""


class Targets(Model):
    """An ecosystem and the protocol it goes through."""

    protocol: Annotated[Protocol, Field(default_factory=Protocol)]
    defaults: Annotated[Defaults, Field(default_factory=Defaults)]
    guardrails: Annotated[Guardrails, Field(default_factory=Guardrails)]
    http: Annotated[Http, Field(default_factory=Http)]
    profiles: Annotated[dict[Name, Profile], EachEntry, Field(default_factory=dict)]
    phases: Annotated[list[PhaseShape], EachItem, Field(default_factory=list)]
    """What `ecoload suite` carries out, in this order."""
    known_issues: Annotated[list[KnownIssueShape], EachItem, Field(default_factory=list)]
    """Failings that are tracked by name."""
    apps: Annotated[dict[Name, App], Field(min_length=1), EachEntry]
    """the apps of the ecosystem"""


Address = tuple[Literal["http", "https"], str, int, str]
"""Scheme, host, port and path."""


def origin(
    name: str, app: App, url: str, workspace: pathlib.Path, *, embedded: bool, production: Sequence[str] = ()
) -> Origin:
    """The app as it is reached at `url`; `production` are patterns of hosts that are production whatever
    the app says. Raises ValueError for an address that is not allowed."""
    embedded = embedded or url == "sandbox"
    # The embedded sandbox is nobody's production, whatever its app is elsewhere.
    environment = "sandbox" if embedded and app.environment == "production" else app.environment
    where: Address = ("http", "sandbox", 0, "") if url == "sandbox" else split_url(url)
    scheme, host, port, path = where
    if not embedded and any(fnmatchcase(host.lower(), pattern.lower()) for pattern in production):
        environment = "production"
    tls = app.tls if scheme == "https" and not embedded else Tls()
    return Origin(
        app=name,
        scheme=scheme,
        host=host,
        port=port,
        base_path=path,
        environment=environment,
        writes=app.writes,
        resolve=() if embedded else tuple(app.resolve),
        max_rps=app.max_rps,
        ca_file=tls.ca_file,
        client_cert=tls.client_cert,
        client_key=tls.client_key,
        tls_sha256=tuple(_sums(tls, workspace)),
        tls_root=str(workspace.absolute()) if tls.ca_file or tls.client_cert else "",
        embedded=embedded,
    )


def _sums(tls: Tls, workspace: pathlib.Path) -> Iterator[tuple[str, str]]:
    """The hashes of the certificates. One that cannot be read has none, and is told of when it is used."""
    for name in (tls.ca_file, tls.client_cert):
        if name is not None:
            with contextlib.suppress(OSError):
                yield name, hashlib.sha256((workspace / name).read_bytes()).hexdigest()


def split_url(url: str) -> Address:
    """`(scheme, host, port, path without a final '/')`. Raises ValueError."""
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ValueError("an address takes no blanks and control characters")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(f"expected an address such as https://host:8443, got {url!r} ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"expected an http or https address, or `sandbox`, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address takes no credentials; use a header with ${secret.NAME}")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError(f"an address takes no query and no fragment, got {url!r}")
    if port == 0:
        raise ValueError("port 0 cannot be reached")
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise ValueError(f"{host!r} is not a host name") from None
    path = route_path(parts.path.rstrip("/")) if parts.path.rstrip("/") else ""
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return scheme, host, port or {"http": 80, "https": 443}[scheme], path


def base_url(text: str, environ: Mapping[str, str]) -> str | None:
    """The address as the environment has it; None where it needs a variable that is not set."""
    try:
        return template.resolve_environment(text, environ)
    except template.TemplateError as error:
        raise ValueError(str(error)) from None
