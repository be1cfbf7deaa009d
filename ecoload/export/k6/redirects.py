"""Redirects in a script: where they may lead, and the function that follows them.

Rules
-----
- A script follows as `engine/program.py` does, to what `guard/rules.py` allows. What of it is constant stands
  in the script as data; where the apps are is told when it runs.
- k6's own following is never used: nothing would look at where it leads.
- What the script reads differently from Python (a path that is not UTF-8 once it is decoded, `..;x` in a
  Location) it refuses.
- An app that the script does not know is no place to go. It knows those that it asks, those at one address
  with them, and those whose address stands in targets.yaml.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ecoload.export.k6.js import Literal, Raw, declaration
from ecoload.export.k6.naming import base_url_name
from ecoload.guard.reach import is_production, used_origins
from ecoload.plan import Plan, Route

STATUSES = (301, 302, 303, 307, 308)


def constants(plans: Sequence[Plan], apps: Collection[str], secrets: Sequence[str]) -> str:
    """The constants that `REQUEST` looks at: `plans` of one workspace, the apps that the script knows, and
    the variables of its secrets."""
    patterns = [pattern.partition(" ") for pattern in plans[0].deny]
    denied: list[Literal] = [[verb.upper(), path] for verb, _, path in patterns]
    return "\n".join(
        [
            "// Where a redirect may lead: to what a step could ask. Those that have an effect",
            "// stand with the place of the namespace; without one, none leads there.",
            declaration("LEADS", [*_leads(plans, apps)]),
            declaration("DENIED", denied),
            "// What must not go to another app.",
            declaration("SECRETS", [*secrets]),
        ]
    )


def closed(plans: Sequence[Plan], index: int) -> bool:
    """Whether an origin is production that nobody was asked to approve."""
    return any(is_production(plan, index) and index not in used_origins(plan) for plan in plans)


def _leads(plans: Sequence[Plan], apps: Collection[str]) -> Iterator[Literal]:
    for index, origin in enumerate(plans[0].origins):
        if origin.app not in apps:
            continue
        own = [route for route in plans[0].routes if route.app == origin.app]
        plain = [route for route in own if route.effect == "none"]
        writes = origin.writes
        if closed(plans, index):
            plain, writes = [], None
        if writes is not None:
            # Any GET is allowed there.
            plain = [route for route in plain if route.method not in ("GET", "HEAD")]
        lead: dict[str, Literal] = {"url": Raw(base_url_name(origin.app))}
        if writes is not None:
            lead["namespace"] = writes
        lead["routes"] = _rows([[route.method, route.path] for route in plain])
        lead["effects"] = _rows([_effect(r, writes) for r in own if r.effect != "none"])
        yield lead


def _rows(rows: list[list[Literal]]) -> list[Literal]:
    """Each once: routes that differ in their names only are one here."""
    return [row for number, row in enumerate(rows) if row not in rows[:number]]


def _effect(route: Route, writes: str | None) -> list[Literal]:
    if route.effect != "write" or writes is None or route.namespace is None:
        return [route.method, route.path]
    return [route.method, route.path, route.namespace.place, route.namespace.at]


REQUEST = r"""
// http.request, but for redirects: they are followed to where ecoload's guard
// would let a step go, and nowhere else. Gives the last answer; what is not
// followed is an error of the step.
function request(method, url, body, { redirects = 10, ...params }) {
  const first = { method, url, body, headers: params.headers };
  let sent = first;
  let answer = send(sent, params);
  for (let hops = 0; REDIRECTS.includes(answer.status); hops += 1) {
    if (hops === redirects) {
      return unanswered(params, `more than ${redirects} redirects`);
    }
    const location = answer.headers.Location;
    if (location === undefined) {
      break; // an answer like any other
    }
    if (params.responseCallback !== null) {
      errors.add(false, params.tags); // setup() is in no route's figures
    }
    sent = redirected(first, sent, answer.status, location);
    if (!sent) {
      return unanswered(params, "a redirect to where no step may go");
    }
    answer = send(sent, params);
  }
  return answer;
}

const REDIRECTS = [301, 302, 303, 307, 308];

function send({ method, url, body, headers }, params) {
  return http.request(method, url, body, { ...params, headers, redirects: 0 });
}

// What a step has in place of an answer where a redirect is not followed.
function unanswered({ tags }, error) {
  console.error(`${tags.name}: ${error}`);
  const nothing = { headers: {}, body: null, timings: {} };
  return { ...nothing, status: 0, error };
}

// The request that a redirect asks for; nothing where it must not be sent. The
// body goes where the method changes, and no credentials go to another app.
function redirected(first, last, status, location) {
  const toGet = status === 303 || (status < 303 && last.method === "POST");
  const method = toGet && last.method !== "HEAD" ? "GET" : last.method;
  const from = appOf(last.url);
  const there = placeOf(resolved(last.url, location));
  const app = there && leadsTo(first, from, method, there);
  if (!app) {
    return undefined;
  }
  const target = there.path.slice(app.path.length) + there.query;
  const body = method === last.method ? last.body : null;
  const hides = (value) => app !== from && holdsSecret(value);
  if (hides(target) || hides(body)) {
    return undefined;
  }
  const dropped = [
    "cookie",
    ...(method === last.method ? [] : ["content-type", "content-encoding"]),
    ...(app === from ? [] : ["authorization", "proxy-authorization"]),
  ];
  const kept = Object.entries(last.headers).filter(
    ([name, value]) => !dropped.includes(name.toLowerCase()) && !hides(value),
  );
  const headers = Object.fromEntries(kept);
  return { method, url: app.url + target, body, headers };
}

// Whether one of the secrets stands in what would be sent; in bytes, any may.
function holdsSecret(value) {
  const spellings = SECRETS.map((name) => __ENV[name])
    .filter((secret) => secret.length >= 4)
    .flatMap((secret) => [secret, urlencode(secret)]);
  const isBytes = value instanceof ArrayBuffer;
  return spellings.some((one) => isBytes || text(value).includes(one));
}

// The app that a redirect leads to; nothing where no step could be sent there.
// What is denied is not asked, and what has an effect only as a write that
// stays in its app and namespace, however a server may read the path.
function leadsTo(first, from, method, there) {
  const apps = appsAt(there);
  const below = (app) => there.path.slice(app.path.length) || "/";
  const isVerb = (verb) =>
    ["*", method].includes(verb) || (verb === "GET" && method === "HEAD");
  const isDenied = DENIED.some(
    ([verb, form]) =>
      isVerb(verb) &&
      [there.path, ...apps.map(below)].some((path) => couldBe(path, form)),
  );
  const mayBe = (form) => fits(there.path, form) || couldBe(there.path, form);
  const touched = PLACES.filter(
    ({ address }) => address === there.address,
  ).flatMap((app) =>
    app.effects
      .filter(([verb, path]) => isVerb(verb) && mayBe(app.path + path))
      .map((effect) => ({ app, effect })),
  );
  const isSafe = touched.every(
    ({ app, effect }) =>
      app === from &&
      apps.includes(app) &&
      effect[0] === method &&
      staysInside(first, app, effect, below(app), there.query),
  );
  const isKnown = apps.every(
    (app) =>
      (app.namespace && ["GET", "HEAD"].includes(method)) ||
      [...app.routes, ...app.effects].some(
        ([verb, path]) => verb === method && fits(below(app), path),
      ),
  );
  if (isDenied || !isSafe || !isKnown) {
    return undefined;
  }
  return apps.includes(from) ? from : apps[0];
}

// Whether a write has the app's namespace at its place. In headers and bodies,
// which stay as they are, that is where the step has it.
function staysInside(first, app, [, path, where, at], target, query) {
  if (!where) {
    return false; // never followed
  }
  if (where === "path") {
    return fits(target, path.replace(`{${at}}`, app.namespace));
  }
  if (where === "query") {
    const values = query
      .slice(1)
      .split("&")
      .map((field) => field.replace(/\+/g, " ").split("="))
      .filter(([name]) => decoded(name) === at)
      .map(([, ...value]) => decoded(value.join("=")));
    return (
      fits(target, path) && values.length === 1 && values[0] === app.namespace
    );
  }
  const own = appOf(first.url);
  const step = placeOf(first.url).path.slice(own.path.length) || "/";
  return (
    fits(target, path) &&
    own.effects.some(
      (effect) =>
        effect[0] === first.method &&
        fits(step, effect[1]) &&
        effect[2] === where &&
        effect[3] === at,
    )
  );
}

// The apps that an address is one of: those with the longest path above it.
function appsAt(there) {
  const above = PLACES.filter(
    ({ address, scheme, path }) =>
      address === there.address &&
      scheme === there.scheme &&
      `${there.path}/`.startsWith(`${path}/`),
  );
  const longest = Math.max(...above.map(({ path }) => path.length));
  return above.filter(({ path }) => path.length === longest);
}

function appOf(url) {
  const place = placeOf(url);
  return place && appsAt(place)[0];
}

// An address in its parts; nothing where two readers could read it differently.
function placeOf(url) {
  const host = "([a-z0-9._-]+|\\[[0-9a-f:.]+\\])(?::([1-9][0-9]*))?";
  const form = new RegExp(
    `^(https?)://${host}(/[^?#]*)?(\\?[^#]*)?(#.*)?$`,
    "i",
  );
  const found = /^[!-[\]-~]+$/.test(url) && form.exec(url);
  const plain = found && decoded(found[4] ?? "");
  if (!found || plain === undefined || /(^|[/\\])\.\.?([;/\\]|$)/.test(plain)) {
    return undefined;
  }
  const scheme = found[1].toLowerCase();
  const port = found[3] ?? { http: "80", https: "443" }[scheme];
  const address = `${found[2].toLowerCase()}:${port}`;
  return { scheme, address, path: found[4] ?? "", query: found[5] ?? "" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

// Whether a path is a declared one, each {name} of which is within a segment.
function fits(path, declared) {
  return pattern(declared.split(/\{[^{}]+\}/), "[^/]+").test(path);
}

// Whether a server could take a path for one of a form with * for what is
// within a segment, and /** at its end for any rest: whatever its case, its
// escapes, its slashes, and what a ; begins.
function couldBe(path, form) {
  const forms = readings(form.replace(/\{[^{}]+\}/g, "*")).map((reading) => {
    const [, start, rest] = /^(.*?)(\/\*\*)?$/s.exec(reading);
    return pattern(start.split("*"), "[^/]*", rest && "(/.*)?");
  });
  return readings(path).some((one) => forms.some((form) => form.test(one)));
}

function readings(path) {
  const letters = (decoded(path) ?? path).replace(/\\/g, "/").normalize("NFKC");
  const folded = letters.toUpperCase().toLowerCase();
  return [folded, folded.replace(/;[^/]*/g, "")].map((reading) =>
    reading.replace(/\/+/g, "/").replace(/\/$/, ""),
  );
}

function pattern(texts, wildcard, end = "") {
  const plain = texts.map((it) => it.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${plain.join(wildcard)}${end}$`, "s");
}

// A Location as an absolute address (RFC 3986, 5.2), as Python's urljoin reads
// it.
function resolved(base, location) {
  const form = /^([a-z][a-z0-9+.-]*:)?(\/\/[^/?#]*)?([^?#]*)(\?[^#]+)?/i;
  const [, scheme, host, home, query] = form.exec(base);
  const [, other = scheme, elsewhere = "", path, own = ""] =
    form.exec(location);
  if (other.toLowerCase() !== scheme.toLowerCase()) {
    return location;
  }
  if (elsewhere.length > 2) {
    return scheme + elsewhere + path + own;
  }
  if (path === "") {
    return scheme + host + home + (own || (query ?? ""));
  }
  const isRooted = path.startsWith("/");
  const above = isRooted ? [] : home.split("/").slice(0, -1);
  const names = [...above, ...path.split("/")];
  const last = names.at(-1);
  const kept = [];
  names.forEach((name, index) => {
    const isEmpty = name === "" && index > 0 && index < names.length - 1;
    if (name === "..") {
      kept.pop();
    } else if (name !== "." && (isRooted || !isEmpty)) {
      kept.push(name);
    }
  });
  if (last === "." || last === "..") {
    kept.push("");
  }
  return `${scheme}${host}/${kept.join("/").replace(/^\//, "")}${own}`;
}

const PLACES = LEADS.filter(({ url }) => placeOf(url)).map((app) => ({
  ...app,
  ...placeOf(app.url),
}));
""".strip("\n")
