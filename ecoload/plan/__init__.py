"""The plan: one frozen value that says what will be sent where, how fast and for how long.

Rules
-----
- A plan is complete: the engine, the exporters and the approval read nothing else.
- Secrets stand in it by name only. Times are integers of nanoseconds. Nothing in it is a clock, a
  socket or a file handle.
- Two hashes: `spec_hash` of what people wrote, `execution_hash` of what will be sent. Any change
  of either kind changes its hash.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import orjson

# --- The ${…} language, parsed (see spec/template.py) -------------------------------------------


@dataclass(frozen=True, slots=True)
class Ref:
    """A name: `("data", "kind")`, `("event_id",)`, `("protocol", "namespace")`, `("vu",)`."""

    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A pure function of the language with its arguments."""

    function: str
    arguments: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Text with holes. Constant pieces are `str`; at least one part is an expression."""

    parts: tuple[str | Ref | Call, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """A JSON object with templates inside; order as written."""

    items: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Array:
    """A JSON array with templates inside."""

    items: tuple[Value, ...]


Expression = Ref | Call | str | int | float | bool | None
"""Inside `${…}`: a name, a call or a literal."""

StringTemplate = str | Ref | Call | Text
"""A text: constant, one whole `${…}` (keeps its type where a type matters), or mixed."""

Value = None | bool | int | float | str | Ref | Call | Text | Object | Array
"""Anything that can stand in a JSON body."""


# --- Scenarios ------------------------------------------------------------------------------------


class BodyKind(StrEnum):
    JSON = "json"
    FORM = "form"
    MULTIPART = "multipart"
    TEXT = "text"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body: a value, or a file of the workspace."""

    name: str
    value: StringTemplate | None = None
    file: str | None = None
    filename: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A request body. `content`: a Value for json; `(name, StringTemplate)` pairs for form; Parts for
    multipart; a StringTemplate for text; the file's path relative to the workspace for file."""

    kind: BodyKind
    content: Value | tuple[tuple[str, StringTemplate], ...] | tuple[Part, ...]
    content_type: str
    file_sha256: tuple[tuple[str, str], ...] = ()


OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "exists", "contains", "matches", "length", "each", "all")


@dataclass(frozen=True, slots=True)
class Expect:
    """One expectation of a value: `operator` is one of `OPERATORS`."""

    operator: str
    operand: Value


@dataclass(frozen=True, slots=True)
class Check:
    """What an answer must be. Empty parts are not checked; `status` empty means 200-399."""

    status: tuple[int, ...] = ()
    headers: tuple[tuple[str, Expect], ...] = ()
    json: tuple[tuple[str, Expect], ...] = ()
    body: tuple[Expect, ...] = ()
    duration_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """Takes a value from an answer: `source` is `json` (path), `header` (name), `regex` (group 1, or
    the whole match) over the body, or `status`. `regex` takes its match out of a header's value."""

    name: str
    source: Literal["json", "header", "regex", "status"]
    argument: str = ""
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class Think:
    """A pause after a step: uniform between two times (equal ends: fixed)."""

    least_ns: int
    most_ns: int


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a scenario. `route` is the name its samples stand under (index in
    `Plan.routes`); `origin` the index in `Plan.origins`."""

    route: int
    origin: int
    method: str
    path: StringTemplate
    query: tuple[tuple[str, StringTemplate], ...] = ()
    headers: tuple[tuple[str, StringTemplate], ...] = ()
    body: Body | None = None
    check: Check = Check()
    captures: tuple[Capture, ...] = ()
    think: Think | None = None
    timeout_ns: int = 60_000_000_000
    redirects: int = 10


@dataclass(frozen=True, slots=True)
class Branch:
    weight: float
    steps: tuple[Step | Choose, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """One of the branches is taken each time, by weight (seeded)."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one iteration does. `lets` are evaluated once an iteration, in order. A Python scenario
    has `module` (path relative to the workspace) and its hash instead of steps. `k6` names the script
    that it is exported as; `{profile}` in it stands for the profile."""

    name: str
    lets: tuple[tuple[str, Value], ...] = ()
    steps: tuple[Step | Choose, ...] = ()
    setup: tuple[Step | Choose, ...] = ()
    teardown: tuple[Step | Choose, ...] = ()
    feeder: str | None = None
    module: str | None = None
    module_sha256: str | None = None
    k6: str | None = field(default=None, metadata={"hash": False})


@dataclass(frozen=True, slots=True)
class Feeder:
    """Records for iterations, taken in order and round again. Only their hash is in the plan."""

    name: str
    file: str
    sha256: str
    records: int


# --- Load -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stage:
    """A line from where the stage before ended to `target`, in `duration_ns` (0 jumps)."""

    duration_ns: int
    target: float


@dataclass(frozen=True, slots=True)
class ConstantVUs:
    vus: int
    duration_ns: int


@dataclass(frozen=True, slots=True)
class RampingVUs:
    start_vus: int
    stages: tuple[Stage, ...]
    graceful_ramp_down_ns: int = 30_000_000_000


@dataclass(frozen=True, slots=True)
class SharedIterations:
    vus: int
    iterations: int
    max_duration_ns: int = 600_000_000_000


@dataclass(frozen=True, slots=True)
class PerVUIterations:
    vus: int
    iterations: int
    max_duration_ns: int = 600_000_000_000


class Arrivals(StrEnum):
    UNIFORM = "uniform"
    POISSON = "poisson"


class OnExhausted(StrEnum):
    """What becomes of an arrival that finds no idle VU."""

    QUEUE = "queue"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class ConstantArrivalRate:
    """`rate` starts in each `time_unit_ns`."""

    rate: float
    duration_ns: int
    pre_allocated_vus: int
    max_vus: int
    time_unit_ns: int = 1_000_000_000
    arrivals: Arrivals = Arrivals.UNIFORM
    on_exhausted: OnExhausted = OnExhausted.DROP


@dataclass(frozen=True, slots=True)
class RampingArrivalRate:
    """Stage targets are starts in each `time_unit_ns`."""

    start_rate: float
    stages: tuple[Stage, ...]
    pre_allocated_vus: int
    max_vus: int
    time_unit_ns: int = 1_000_000_000
    arrivals: Arrivals = Arrivals.UNIFORM
    on_exhausted: OnExhausted = OnExhausted.DROP


ClosedExecutor = ConstantVUs | RampingVUs | SharedIterations | PerVUIterations
OpenExecutor = ConstantArrivalRate | RampingArrivalRate
Executor = ClosedExecutor | OpenExecutor


@dataclass(frozen=True, slots=True)
class Load:
    """One scenario under one executor, from `start_time_ns` on. `executor_name` is the word the
    people wrote (`burst`, `soak`, `ramping-vus`); `pacing_ns` the least time from one start of an
    iteration to the next of the same VU (closed models only)."""

    name: str
    scenario: int
    executor_name: str
    executor: Executor
    start_time_ns: int = 0
    graceful_stop_ns: int = 30_000_000_000
    pacing_ns: int = 0


# --- Where to, and how well -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin:
    """An app as it is reached: every request of the plan goes to one of these and nowhere else.

    `addresses` are the literal IPs that are dialled; empty until the guard has resolved the host.
    `writes` is the namespace writes must stand in; None makes the app read-only. The files of TLS are named
    as they are written, from `tls_root` on, where the workspace is on this machine; `tls_sha256` holds what
    is in them, the key excepted.
    """

    app: str
    scheme: Literal["http", "https"]
    host: str
    port: int
    base_path: str = ""
    environment: str = "production"
    writes: str | None = None
    addresses: tuple[str, ...] = ()
    resolve: tuple[str, ...] = ()
    max_rps: float | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    tls_sha256: tuple[tuple[str, str], ...] = ()
    tls_root: str = field(default="", metadata={"hash": False})
    embedded: bool = False

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NamespaceAt:
    """Where the namespace stands in a write: `place` is `json` (dotted path), `query`, `header`,
    `form` or `path`."""

    place: Literal["json", "query", "header", "form", "path"]
    at: str


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """What a route must reach; None is not judged. Milliseconds of response time, shares of 1, counts.

    `failed_checks` counts what could not be captured too; `p95_drift` is how far the P95 of the last third
    of the measured time may be from the first third's, either way.
    """

    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p95_stretch_ms: float | None = None
    error_rate: float | None = None
    timeouts: int | None = None
    failed_checks: int | None = None
    p95_drift: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A declared route: what may be sent, and what it must reach. `effect` is `fault` where it makes
    the app misbehave on purpose. `bearer`: its requests carry the token of `Plan.auth`, those with an
    Authorization header of their own excepted."""

    app: str
    name: str
    method: str
    path: str
    effect: Literal["none", "write", "fault"]
    namespace: NamespaceAt | None = None
    slo: ServiceLevel = ServiceLevel()
    bearer: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """`metric operator value`, over the whole run, or true without a break `for_ns`; not looked at
    before `after_ns`. `metric` is one of `p50 p90 p95 p99 max mean error_rate rps dropped_iterations`
    (latencies: response time in ms; `source` is the text as written)."""

    source: str
    metric: str
    operator: Literal["<", "<=", ">", ">=", "==", "!="]
    value: float
    route: str | None = None
    for_ns: int = 0
    after_ns: int = 0


Scalar = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class Probe:
    """A declared request beside the load (read-back, counts): GET only, and a JSON path in its answer."""

    origin: int
    path: StringTemplate
    json: str


@dataclass(frozen=True, slots=True)
class Persistence:
    """The proof that what was acknowledged was kept: `route`'s `ok` answers against `count`."""

    route: int
    count: Probe


@dataclass(frozen=True, slots=True)
class Proof:
    """A question asked after the load, and what its answer must be. It is asked again until the answer is
    that, or `within_ns` are over (0: asked once)."""

    name: str
    probe: Probe
    expected: Scalar
    within_ns: int = 0

    def holds(self, found: Any) -> bool:
        """True where `found` is what was expected. Types count: true is not 1, nor is 1.0."""
        return type(found) is type(self.expected) and bool(found == self.expected)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where an app tells its metrics (the text format of Prometheus), and which one is its resident memory
    in bytes; None: it does not tell."""

    origin: int
    path: StringTemplate
    resident_memory: str | None = None


@dataclass(frozen=True, slots=True)
class Warm:
    """A GET that warms the target: before the load begins, and again every `every_ns` while it runs (0:
    once)."""

    origin: int
    path: StringTemplate
    every_ns: int = 0


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Where the planned app's tokens come from: a POST of OAuth 2.0 client credentials (RFC 6749, 4.4)
    to `path` of an origin. `secret` is a name of `Plan.secrets`."""

    origin: int
    path: str
    client_id: str
    secret: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Eventually:
    """A step that is asked again until its check holds: first at once, then after `first_ns`, twice as long
    each time up to `most_ns`, until `within_ns` are over."""

    within_ns: int
    first_ns: int = 100_000_000
    most_ns: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FlowStep:
    """What a flow knows of one step of its scenario beside the request: its name, whether it is asked again,
    and how long after the step before it must hold at the latest (`eventually`)."""

    name: str
    eventually: Eventually | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a flow's table: its name, and the values that `${data.NAME}` reads."""

    name: str
    values: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True, slots=True)
class Flow:
    """A backend flow: the steps of `Plan.scenarios[0]` in order, once for each case, `repeat` times, up to
    `parallel` at a time. `steps` has an entry for each step of the scenario."""

    name: str
    about: str
    steps: tuple[FlowStep, ...]
    cases: tuple[Case, ...] = (Case(""),)
    repeat: int = 1
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Visit:
    """An app that a browser flow asks: its origin, and whether the browser may send more than GET and
    HEAD."""

    origin: int
    writes: bool


@dataclass(frozen=True, slots=True)
class BrowserStep:
    """A step of a browser flow; what is waited for in it must be seen `within_ns` after the end of the last
    step that has no such limit."""

    name: str
    within_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the web vitals of each page that is measured must reach; None is not judged."""

    lcp_ms: float | None = None
    cls: float | None = None
    inp_ms: float | None = None
    ttfb_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Browser:
    """A flow that a browser carries out by a Playwright spec of the same name. `sources` are the files that
    it is made of, each with its SHA-256."""

    name: str
    about: str
    sources: tuple[tuple[str, str], ...]
    visits: tuple[Visit, ...]
    steps: tuple[BrowserStep, ...]
    timeout_ns: int
    vitals: Vitals | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """Where the events of a run are read back, page by page: `${cursor}` in `path` is the cursor of the
    page (`first` for the first). `items` is the JSON path of a page's list, `id` and `time` (milliseconds
    since the epoch when it came in; empty: not told) are paths within one item, `next` is the path of the
    next page's cursor, null or absent on the last. An event must be there `within_ns` after it was
    acknowledged."""

    name: str
    origin: int
    path: StringTemplate
    items: str
    id: str
    next: str
    time: str = ""
    within_ns: int = 0
    first: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The proof that every event was followed: `ok` answers of `route` acknowledge; `id` is the `let` of the
    scenario that names an event, a pure function of seed, run id, VU and iteration."""

    route: int
    id: str
    stations: tuple[Station, ...]
    absent: tuple[str, ...] = ()
    """Stations that are declared and not asked: the address of their app is not known."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is set at `at_ns` of the load for `for_ns`: `inject` is sent, and again every third of
    `ttl_ns` while the fault is wanted; then `withdraw`. `ttl_ns` 0: the target cannot expire it."""

    inject: Step
    withdraw: Step
    at_ns: int
    for_ns: int
    ttl_ns: int = 0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where the breaker's state is read, every `every_ns`: a word at the probe's JSON path. The three words
    are the target's own for the three states. `since` is a JSON path in the same answer, whose value is
    another one whenever the state has changed (a time, a count of changes); empty where there is none."""

    probe: Probe
    closed: str = "closed"
    open: str = "open"
    half_open: str = "half_open"
    every_ns: int = 100_000_000
    since: str = ""


@dataclass(frozen=True, slots=True)
class Oracles:
    """What must hold of a breaker; None is not judged. `opens_within_ns` from the fault's first setting,
    `closes_within_ns` from its withdrawal; `stays_open`: from its opening to the withdrawal it never closes;
    `p95_open_ms`: of response time of `Resiliency.route` while it is open; `error_budget`: the share of all
    requests of the route over the whole run that may fail; `let_through`: how many requests of the route
    may be answered as if nothing were wrong while it is open; `double_effects`: a question whose answer must
    be 0."""

    opens_within_ns: int | None = None
    closes_within_ns: int | None = None
    stays_open: bool = False
    p95_open_ms: float | None = None
    error_budget: float | None = None
    let_through: int | None = None
    double_effects: Probe | None = None


@dataclass(frozen=True, slots=True)
class Resiliency:
    """A fault injected beside the load, and what is watched: `route` is the one that the breaker guards."""

    route: int
    fault: Fault
    breaker: Breaker
    oracles: Oracles


@dataclass(frozen=True, slots=True)
class HttpLimits:
    connect_timeout_ns: int = 10_000_000_000
    max_header_bytes: int = 65_536
    max_body_bytes: int = 33_554_432
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class ProtocolHeader:
    """What stands at the head of every report."""

    name: str = "Performance Testing v1.0"
    assigned_app: str = ""
    version: str = ""
    mode: str = ""
    namespace: str = "perf_test"


@dataclass(frozen=True, slots=True)
class Plan:
    tool_version: str
    protocol: ProtocolHeader
    app: str
    profile: str
    seed: int
    duration_scale: float
    origins: tuple[Origin, ...]
    routes: tuple[Route, ...]
    scenarios: tuple[Scenario, ...]
    loads: tuple[Load, ...]
    feeders: tuple[Feeder, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    """The declared environment variables that `${env.X}` reads."""
    secrets: tuple[tuple[str, str], ...] = ()
    """`(name, reference)`: `env:NAME` or `file:PATH`; never a value."""
    auth: ClientCredentials | None = None
    other_auths: tuple[tuple[str, ClientCredentials], ...] = ()
    """Where the tokens of the other apps come from that a flow asks, or that are asked beside a load."""
    thresholds: tuple[Condition, ...] = ()
    """Must hold over the whole run."""
    fail_when: tuple[Condition, ...] = ()
    abort_when: tuple[Condition, ...] = ()
    decides: tuple[str, ...] = ()
    """The service levels that decide, by name; the others are shown only. Empty: all decide."""
    warm_up_ns: int = 0
    persistence: Persistence | None = None
    request_count: Probe | None = None
    """Where the target tells how many requests of this run it has seen."""
    version_from: Probe | None = None
    proofs: tuple[Proof, ...] = ()
    metrics: Metrics | None = None
    warm: tuple[Warm, ...] = ()
    flow: Flow | None = None
    """A flow has no loads: its one scenario is carried out step by step (`protocol/flows.py`)."""
    browser: Browser | None = None
    """Nor has a flow that a browser carries out (`protocol/browser.py`)."""
    lineage: Lineage | None = None
    resiliency: Resiliency | None = None
    transport: Literal["http1", "aiohttp"] = "http1"
    pacing_mode: Literal["timer", "spin"] = "timer"
    proxy: str | None = None
    http: HttpLimits = HttpLimits()
    approval_over_vus: int = 60
    deny: tuple[str, ...] = ()
    """What is never sent: `METHOD /path`, with `*` for any method or within a segment, `/**` for any rest."""
    spec_hash: str = field(default="", metadata={"hash": False})

    @property
    def auths(self) -> dict[str, ClientCredentials]:
        """Where the tokens come from, by the app whose requests carry them."""
        return ({self.app: self.auth} if self.auth is not None else {}) | dict(self.other_auths)

    @property
    def flow_name(self) -> str:
        """What a flow is called, the backend's or the browser's; nothing where it is a load."""
        flow = self.flow or self.browser
        return "" if flow is None else flow.name

    @property
    def execution_hash(self) -> str:
        """SHA-256 over the canonical bytes of everything that decides what is sent."""
        return hashlib.sha256(canonical_bytes(self)).hexdigest()


def canonical_bytes(plan: Plan) -> bytes:
    """The plan as canonical JSON (sorted keys, no spaces): the same plan gives the same bytes.

    What does not decide what is sent is left out. The embedded sandbox's addresses and ports, which
    change with every start, stand as `sandbox`.
    """
    tree = to_tree(plan)
    tree.pop("spec_hash")
    for scenario in tree["scenarios"]:
        scenario.pop("k6")
    for origin in tree["origins"]:
        origin.pop("tls_root")
        if origin["embedded"]:
            origin.update(host="sandbox", port=0, addresses=[])
    return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)


def to_tree(value: Any) -> Any:
    """A plan, or any part of it, as plain JSON values; each dataclass carries its name as `type`
    where several kinds can stand in one place."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        tree = {f.name: to_tree(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if type(value).__name__ in _TAGGED:
            tree["type"] = type(value).__name__
        return tree
    if isinstance(value, tuple | list):
        return [to_tree(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_tree(item) for key, item in value.items()}
    return value


_TAGGED = frozenset(
    "Ref Call Text Object Array Step Choose ConstantVUs RampingVUs SharedIterations PerVUIterations "
    "ConstantArrivalRate RampingArrivalRate".split()
)
