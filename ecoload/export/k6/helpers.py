"""The functions of JavaScript that scripts call, each with what it calls in turn.

Rules
-----
- A script holds those it needs and no other.
- Where JavaScript and Python differ they do as Python does: they judge and spell as the engine would.
- They are total: a value of any kind gives an answer, never an exception, but for one that ends a setup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecoload.export.k6.js import string

FILE = "file:"
"""`file:SHA256:PATH` is the need of a file of the workspace, which stands in the constant `FILES`."""
WORKSPACE = "../../.."
"""From the folder of the scripts to the workspace."""

Imports = Mapping[str, tuple[str, ...]]
"""Modules of k6, each with the names that are taken from it; one of `DEFAULTS` is the module itself."""

MODULES = {
    "http": "k6/http",
    "exec": "k6/execution",
    "encoding": "k6/encoding",
    "check": "k6",
    "sleep": "k6",
    "hexEncode": "k6/crypto",
    "randomBytes": "k6/crypto",
    "sha256": "k6/crypto",
    "SharedArray": "k6/data",
    "Counter": "k6/metrics",
    "Rate": "k6/metrics",
}
"""Where each name of k6 comes from."""
DEFAULTS = frozenset({"http", "exec", "encoding"})


@dataclass(frozen=True, slots=True)
class Helper:
    text: str
    needs: tuple[str, ...] = ()


def closure(
    needs: Iterable[str], helpers: Mapping[str, Helper] | None = None
) -> tuple[list[str], dict[str, list[str]]]:
    """The texts of all helpers that are needed, directly or by another, files first, and what is imported for
    them and for `needs`: modules with their names, sorted. `helpers` are other ones than `HELPERS`."""
    known = HELPERS if helpers is None else helpers
    found: set[str] = set()
    waiting = list(needs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += known[name].needs if name in known else ("file",) if name.startswith(FILE) else ()
    files = sorted(name.removeprefix(FILE).split(":", 1)[::-1] for name in found if name.startswith(FILE))
    texts = [_files(files)] if files else []
    texts += [helper.text for name, helper in known.items() if name in found]
    imports: dict[str, list[str]] = {}
    for name in sorted(found & MODULES.keys()):
        imports.setdefault(MODULES[name], []).append(name)
    return texts, dict(sorted(imports.items()))


def import_lines(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """The import statements of a script."""
    lines = []
    for module, names in sorted(imports.items()):
        lines += [f'import {name} from "{module}";' for name in sorted(names) if name in DEFAULTS]
        if inside := sorted(name for name in names if name not in DEFAULTS):
            lines.append(f'import {{ {", ".join(inside)} }} from "{module}";')
    return lines


def _files(files: Iterable[list[str]]) -> str:
    rows = []
    for path, sha256 in files:
        rows.append(
            f"  {string(path)}: file(\n    {string(f'{WORKSPACE}/{path}')},\n    {string(sha256)},\n  ),\n"
        )
    return f"// What bodies are made of.\nconst FILES = {{\n{''.join(rows)}}};"


HELPERS: dict[str, Helper] = {}


def _helper(name: str, text: str, *needs: str) -> None:
    HELPERS[name] = Helper(text.strip("\n"), needs)


_helper(
    "metrics",
    """
// Beside k6's own figures: the steps that ended otherwise than they should, and
// how many of them by a check or by a timeout.
const errors = new Rate("errors");
const failedChecks = new Counter("failed_checks");
const timeouts = new Counter("timeouts");
""",
    "Counter",
    "Rate",
)

_helper(
    "passed",
    """
// Counts what became of a step. Its status comes first, then its other checks
// in their order, and the first that fails decides. An HTTP error, or no answer
// at all, is an error of the step but no failed check.
function passed(name, answer, checks) {
  const tags = { name };
  const failed = Object.entries(checks).findIndex(
    ([what, holds]) => !check(answer, { [what]: holds }, tags),
  );
  const isHttpError = answer.status === 0 || answer.status >= 400;
  errors.add(failed >= 0, tags);
  if (failed > 0 || (failed === 0 && !isHttpError)) {
    failedChecks.add(1, tags);
  }
  if (TIMEOUTS.includes(answer.error_code)) {
    timeouts.add(1, tags);
  }
  return failed < 0;
}

const TIMEOUTS = [1050, 1211]; // of a request, and of a connection
""",
    "check", "metrics",
)  # fmt: skip
_helper(
    "demand",
    """
// Ends the test where a step of its setup or teardown did not succeed.
function demand(name, answer, checks) {
  const failed = Object.keys(checks).find((what) => !checks[what]);
  if (failed !== undefined) {
    const status = answer.error || `status ${answer.status}`;
    throw new Error(`${name} did not succeed (${status}): not true: ${failed}`);
  }
}
""",
)
_helper(
    "refused",
    """
// A step that is not sent: one of its values must not stand where it would.
function refused(name, where) {
  errors.add(true, { name });
  console.error(`${name} was not sent: a value must not stand in ${where}`);
}
""",
    "metrics",
)
_helper(
    "tracing",
    """
// What tells the target whose a request is: the run, and a trace of its own
// (W3C Trace Context).
function tracing(run) {
  const id = hexEncode(randomBytes(24));
  return {
    "X-Ecoload-Run": run.id,
    traceparent: `00-${id.slice(0, 32)}-${id.slice(32)}-01`,
  };
}
""",
    "hexEncode", "randomBytes",
)  # fmt: skip

_helper(
    "text",
    """
// A value as text, as it stands in a path, a query or a header.
function text(value) {
  if (value === null || value === undefined) {
    return "";
  }
  if (typeof value === "object") {
    return JSON.stringify(value);
  }
  if (typeof value === "number" && value !== 0 && Math.abs(value) < 1e-4) {
    return value.toExponential().replace(/e-(\\d)$/, "e-0$1");
  }
  return String(value);
}
""",
)
_helper(
    "urlencode",
    """
// A value percent-encoded, all but letters, digits and -._~ of it.
function urlencode(value) {
  return encodeURIComponent(text(value)).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
""",
    "text",
)
_helper("lower", "const lower = (value) => text(value).toLowerCase();", "text")
_helper("upper", "const upper = (value) => text(value).toUpperCase();", "text")
_helper(
    "form",
    """
// Fields as they stand in a form or a query, in their order.
function form(fields) {
  return Object.entries(fields)
    .map((field) => field.map(urlencode).join("="))
    .join("&");
}
""",
    "urlencode",
)
_helper(
    "fitsPath",
    """
// Whether a value fills one segment of a path, and cannot climb in it.
function fitsPath(value) {
  const segment = text(value);
  return (
    segment !== "" &&
    !/[\\r\\n\\0]/.test(segment) &&
    !segment.split(/[/\\\\]/).some((part) => /^\\.\\.?(;|$)/.test(part))
  );
}
""",
    "text",
)
_helper(
    "fitsHeader",
    """
// Whether a header can hold a value: ASCII, and no line break.
function fitsHeader(value) {
  return /^[\\t\\x20-\\x7e]*$/.test(text(value));
}
""",
    "text",
)
_helper(
    "randomInt",
    """
function randomInt(least, most) {
  return least + Math.floor(Math.random() * (most - least + 1));
}
""",
)
_helper(
    "randomString",
    """
function randomString(length) {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const any = () => letters[Math.floor(Math.random() * letters.length)];
  return Array.from({ length }, any).join("");
}
""",
)

_helper(
    "file",
    """
// A file of the workspace, as it was when this script was exported.
function file(path, sha256sum) {
  const content = open(path, "b");
  if (sha256(content, "hex") !== sha256sum) {
    throw new Error(`${path} has changed; export this script again`);
  }
  return content;
}
""",
    "sha256",
)
_helper(
    "multipart",
    """
// A multipart body (RFC 7578), its parts in their order.
function multipart(boundary, parts) {
  const pieces = parts.flatMap(({ name, filename, type, content }) => {
    const file = filename ? `; filename="${filename}"` : "";
    const kind = type ? `Content-Type: ${type}\\r\\n` : "";
    const head = `Content-Disposition: form-data; name="${name}"${file}`;
    return [`--${boundary}\\r\\n${head}\\r\\n${kind}\\r\\n`, content, "\\r\\n"];
  });
  const bytes = [...pieces, `--${boundary}--\\r\\n`].map(
    (piece) => new Uint8Array(typeof piece === "string" ? utf8(piece) : piece),
  );
  const size = bytes.reduce((sum, { length }) => sum + length, 0);
  const body = new Uint8Array(size);
  let at = 0;
  for (const piece of bytes) {
    body.set(piece, at);
    at += piece.length;
  }
  return body.buffer;
}

const utf8 = (text) => encoding.b64decode(encoding.b64encode(text));
""",
    "encoding",
)

_helper(
    "redirected",
    """
// Whether an answer leads elsewhere. No redirect is followed, since nothing
// would look at where it goes.
function redirected(answer) {
  const leads = [301, 302, 303, 307, 308].includes(answer.status);
  return leads && answer.headers.Location !== undefined;
}
""",
)
_helper(
    "json",
    """
// The JSON of an answer; undefined where it has none.
function json(answer) {
  try {
    return JSON.parse(answer.body);
  } catch {
    return undefined;
  }
}
""",
)
_helper(
    "parsed",
    """
// A header's value as a number, or another value of JSON, where it is one.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
""",
)
_helper(
    "parsedFor",
    """
// A header's value as it is compared with another: as text with a text.
function parsedFor(text, wanted) {
  return typeof wanted === "string" ? text : parsed(text);
}
""",
    "parsed",
)
_helper(
    "at",
    """
// What stands at a path of names and indices; undefined where nothing does.
function at(value, ...path) {
  return path.reduce((inner, key) => {
    const isList = Array.isArray(inner);
    const isIndex = typeof key === "number";
    const fits = isList === isIndex && inner instanceof Object;
    return fits && Object.hasOwn(inner, key) ? inner[key] : undefined;
  }, value);
}
""",
)
_helper(
    "members",
    """
// What stands at a path in each row of a list.
function members(rows, ...path) {
  return Array.isArray(rows) ? rows.map((row) => at(row, ...path)) : [];
}
""",
    "at",
)
_helper(
    "captured",
    """
// A captured value; undefined if it is a number that JavaScript would not spell
// as the answer does (1.0, or one beyond 2^53).
function captured(answer, value) {
  if (typeof value !== "number") {
    return value;
  }
  const outside = answer.body.replace(/"(?:[^"\\\\]|\\\\.)*"/g, "");
  const numbers = outside.match(/-?\\d[\\d.eE+-]*/g) ?? [];
  const same = numbers.filter((number) => Number(number) === value);
  if (same.every((number) => number === String(value))) {
    return value;
  }
  console.error(`${same.join(", ")}: k6 cannot capture such a number exactly`);
  return undefined;
}
""",
)
_helper(
    "match",
    """
// What a pattern finds in a text: its group, or all of it where it has none.
function match(text, pattern) {
  const found = typeof text === "string" ? pattern.exec(text) : null;
  return found?.[found.length - 1];
}
""",
)
_helper(
    "matches",
    """
// Whether a pattern finds anything in a value.
function matches(value, pattern) {
  return value !== undefined && pattern.test(text(value));
}
""",
    "text",
)
_helper(
    "asNumber",
    """
const asNumber = (value) =>
  typeof value === "boolean" ? Number(value) : value;
""",
)
_helper(
    "same",
    """
// Equality as Python has it: by content, and true is 1.
function same(a, b) {
  const [x, y] = [a, b].map(asNumber);
  if (!(x instanceof Object && y instanceof Object)) {
    return x === y;
  }
  const keys = Object.keys(x);
  return (
    Array.isArray(x) === Array.isArray(y) &&
    keys.length === Object.keys(y).length &&
    keys.every((key) => Object.hasOwn(y, key) && same(x[key], y[key]))
  );
}
""",
    "asNumber",
)
_helper(
    "equal",
    """
// Equality of JSON: true is not 1.
function equal(a, b) {
  return (typeof a === "boolean") === (typeof b === "boolean") && same(a, b);
}
""",
    "same",
)
_helper(
    "each",
    """
// Whether all are equal to a value, and there is one.
function each(found, wanted) {
  return found.length > 0 && found.every((value) => equal(value, wanted));
}
""",
    "equal",
)
_helper(
    "compare",
    """
// Below, at or above 0 as one value is to another; NaN where they have no
// order.
function compare(a, b) {
  const [x, y] = [a, b].map(asNumber);
  if (typeof x === "number" && typeof y === "number") {
    return x - y;
  }
  if (typeof x === "string" && typeof y === "string") {
    const [left, right] = [x, y].map((it) => Array.from(it, codePoint));
    return compare(left, right);
  }
  if (!Array.isArray(x) || !Array.isArray(y)) {
    return NaN;
  }
  const first = x.findIndex((item, index) => !same(item, y[index]));
  return first >= 0 && first < y.length
    ? compare(x[first], y[first])
    : x.length - y.length;
}

const codePoint = (char) => char.codePointAt(0);
""",
    "asNumber",
    "same",
)
_helper(
    "contains",
    """
// Whether a list has an item, an object a key, anything else a text in its
// text.
function contains(found, wanted) {
  if (Array.isArray(found)) {
    return found.some((item) => same(item, wanted));
  }
  if (found instanceof Object) {
    return typeof wanted === "string" && Object.hasOwn(found, wanted);
  }
  return found !== undefined && text(found).includes(text(wanted));
}
""",
    "same", "text",
)  # fmt: skip
_helper(
    "sizeOf",
    """
// How long a text, a list or an object is.
function sizeOf(value) {
  if (typeof value === "string") {
    return Array.from(value).length;
  }
  return value instanceof Object ? Object.keys(value).length : undefined;
}
""",
)
