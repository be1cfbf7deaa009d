"""The same requests from ecoload and from real k6, byte for byte but for ids, trace numbers and what Go's
client does to headers; and the same judgement of what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from ecoload.plan import Plan
from ecoload.run import Request, run_once
from ecoload.spec.workspace import load_workspace, make_plan
from tests.integration.driving import Silent, outcomes
from tests.integration.k6_lab import run, script_of
from tests.servers.recorder import Arrival, Recorder

TARGETS = """
protocol: {name: P, namespace: "perf_test"}
profiles:
  once: {executor: per-vu-iterations, vus: 1, iterations: N}
apps:
  shop:
    base_url: URL/base
    environment: staging
    writes: perf_test
    headers: {X-App: shop}
    env: [REGION]
    secrets: {KEY: {env: SHOP_KEY}}
    routes:
      search: {get: /search, effect: none}
      item: {get: "/items/{id}/x-{kind}", effect: none}
      make: {post: /make, effect: write, namespace: {in: json, at: ns}}
      odd: {post: /odd, effect: none}
      order: {post: /form, effect: none}
      upload: {post: /upload, effect: none}
      note: {put: /note, effect: none}
      patch: {patch: /patch, effect: none}
      remove: {delete: /remove, effect: none}
      nothing: {post: /nothing, effect: none}
      file: {post: /file, effect: none}
      cookies: {get: /cookies, effect: none}
      teapot: {get: /teapot, effect: none}
      gone: {get: "/gone/{id}", effect: none}
      fails: {get: /fails, effect: none}
      slow: {get: /slow, effect: none}
      moved: {get: /moved, effect: none}
      broken: {get: /broken, effect: none}
      never: {get: "/never/{id}", effect: none}
"""
SCENARIO = r"""
app: shop
feeder: things
let:
  id: ${uuid()}
  digest: ${sha256(data.name)}
  tags: ["${data.name}", "${data.number}", {deep: "${digest}"}]
  fixed: ${upper('abc')}
setup:
  - {route: cookies, check: {status: 200}, capture: {before: {json: $.sequence}}}
steps:
  - route: search
    query:
      q: "${data.name}"
      "a b!": "x ${data.number} ${env.REGION} ${secret.KEY}"
      n: 5
      f: 1.50
      empty: ""
      text: ${fixed}
      low: ${lower(data.name)}
      h: ${hex(digest)}
      b: ${base64url(digest)}
      before: ${before}
    headers: {X-Name: "n=${data.plain}", x-LOWER-case: "${data.number}", X-Spaces: "a  b"}
    check: {status: [200, 201]}
    capture:
      sequence: {json: $.sequence}
      name: {json: $.thing.name}
      session: {header: X-Session}
      short: {header: x-session, regex: 's-([a-z]+)'}
      word: {regex: '"word": ?"([^"]*)"'}
      code: {status: true}
  - route: item
    path: {id: "${name}", kind: "${sequence}"}
    query: {s: "${session}", w: "${word}", c: "${code}", short: "${short}"}
    headers: {Authorization: "Bearer ${session}", User-Agent: "own/1"}
  - route: make
    json:
      ns: ${protocol.namespace}
      run: ${run.id}
      id: ${id}
      name: ${data.name}
      number: ${data.number}
      mixed: "${data.name}-${data.number}"
      any: ${data.any}
      tags: ${tags}
      digest: ${digest}
      vu: ${vu}
      iteration: ${iteration}
      captured: ["${sequence}", "${name}", "${code}"]
      const: {a: 1, b: true, c: null, d: "<é\u2028>", e: 1.5, f: []}
      __proto__: {x: 1}
      "quo\"te": '`${fixed}\'
  - route: odd
    json: {"b": 1, "1": "${data.name}", f: 1.0, g: 1.0e-7, "0": ["${data.any}", 2.0], id: "${id}"}
  - route: odd
    json: 1.0
  - route: odd
    json: "${data.name}"
  - route: order
    form: {"a b": "${data.name}", "é!": "(*)'", num: "${data.number}", same: "a b+c", last: "${digest}"}
  - route: order
    form: {"2": "${data.name}", "1": "b"}
  - route: order
    form: {a: 1, b: "c d"}
  - route: upload
    multipart:
      field: "${data.name}"
      "née": plain
      doc: {file: files/doc.bin, filename: "dö c.pdf", content_type: application/pdf}
      other: {file: files/plain.txt}
      typed: {value: "<a/>", content_type: text/xml}
  - route: upload
    multipart: {only: "${data.name}"}
  - route: note
    text: "Ünï ${data.name} `\\${data.number}\n"
    headers: {Content-Type: "text/x-note"}
  - route: note
    text: ${data.empty}
  - route: note
    text: ""
  - {route: patch, json: {}}
  - {route: remove, query: {all: true}}
  - {route: remove, json: {why: "${data.any}"}}
  - route: nothing
  - {route: file, file: files/doc.bin}
  - {route: cookies, think: 1ms}
  - {route: cookies, timeout: 20s, redirects: none}
  - choose:
      - {weight: 0.0000001, steps: [{route: teapot}]}
      - weight: 99
        steps:
          - {route: cookies, capture: {late: {json: $.sequence}}}
          - {route: cookies, query: {late: "${late}"}}
  - {route: teapot, check: {status: 418, headers: {X-Number: {gt: 4}}, json: {$.thing.name: "${name}"}}}
teardown:
  - {route: cookies, query: {before: "${before}"}}
"""
RECORDS = [
    {
        "feeder": "things", "name": "a/b é&=+!'()*~ 😀", "number": 12, "plain": "x y", "empty": "",
        "any": {"b": [1, None, True], "a": "\u2028"},
    },
    {"feeder": "things", "name": "`${x}\\\"'", "number": -2.5, "plain": "~", "empty": "", "any": 1e-5},
]  # fmt: skip
HEADERS_OF_GO = {"accept-encoding", "connection", "traceparent"}


class Shop(Recorder):
    """Answers with what the steps look at; sets a cookie where none came."""

    def reply(self, arrival: Arrival) -> bytes:
        cookie = "" if "cookie" in arrival.headers else "Set-Cookie: sid=c-1; Path=/\r\n"
        status = "418 Teapot" if "teapot" in arrival.path else "200 OK"
        if "/gone" in arrival.path:
            status = "410 Gone"
        body = json.dumps({"sequence": 7, "word": "w w", "thing": {"name": "né/e"}}).encode()
        body = b"" if arrival.method == "HEAD" else body
        fields = f"Content-Type: application/json\r\nX-Session: s-abc\r\nX-Number: 5\r\n{cookie}"
        head = f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "scenarios").mkdir(parents=True)
    (root / "files").mkdir()
    (root / "files/doc.bin").write_bytes(bytes(range(256)) + b"\r\n--x\xff")
    (root / "files/plain.txt").write_bytes(b"plain \xc3\xa9\n")
    (root / "scenarios/shop.yaml").write_text(SCENARIO)
    write_records(root, RECORDS)
    return root


def write_records(root: Path, records: list[dict[str, Any]]) -> None:
    data = root / "tests/perf/config/data.jsonl"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))


def plan_at(workspace: Path, url: str, iterations: int = 2) -> Plan:
    targets = TARGETS.replace("URL", url).replace("iterations: N", f"iterations: {iterations}")
    (workspace / "targets.yaml").write_text(targets)
    found = load_workspace(workspace / "targets.yaml", environ={"REGION": "nörd"})
    return make_plan(found, "shop", "once")


def test_k6_sends_what_ecoload_sends(tool: Callable[[str], Path], workspace: Path, tmp_path: Path) -> None:
    with Shop() as server:
        plan = plan_at(workspace, server.url)
        secrets = {"KEY": "s3cret/ü"}
        finished = run_once(Request(plan, workspace, tmp_path / "runs", secrets), Silent())
        ours, server.arrivals = server.arrivals, []
        assert {name for one in outcomes(finished).values() for name in one} == {"ok"}
        run_id = ours[0].headers["x-ecoload-run"]
        told = replace(plan, http=replace(plan.http, user_agent=ours[0].headers["user-agent"]))
        script = script_of(told, {"things": RECORDS}, 2, run_id)
        environ = {"SHOP_KEY": "s3cret/ü", "REGION": "nörd"}
        run(tool("k6"), workspace / "tests/perf/k6", script, environ)
        theirs = server.arrivals
    assert [seen(one) for one in theirs] == [seen(one) for one in ours]


def seen(arrival: Arrival) -> tuple[Any, ...]:
    """A request without what must differ: ids are shown as such, and the order of headers is Go's own."""
    headers = {name: value for name, value in arrival.headers.items() if name not in HEADERS_OF_GO}
    body = re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"ID", arrival.body)
    return arrival.method, arrival.path, sorted(headers.items()), body


TROUBLE = r"""
app: shop
feeder: things
steps:
  - {route: fails}
  - {route: fails, check: {status: [500]}}
  - {route: search, check: {json: {$.sequence: 8}}}
  - {route: search, check: {json: {$.sequence: "7"}, headers: {X-Number: {lt: 5}}}}
  - {route: search, check: {status: 201, json: {$.none: {exists: true}}}}
  - {route: search, check: {status: 200, duration: 20ms}, query: {delay_ms: 60}}
  - {route: slow, timeout: 150ms, query: {delay_ms: 500}}
  - {route: moved, redirects: none, check: {status: 302, headers: {Location: {contains: there}}}}
  - {route: broken, check: {json: {$.a: {exists: false}}}}
  - {route: broken, check: {body: {matches: "^.not"}}}
  - {route: gone, path: {id: "${data.name}"}}
  - {route: search, headers: {X-Name: "${data.head}"}}
  - {route: cookies, capture: {late: {json: $.nowhere}}}
  - {route: never, path: {id: "${late}"}}
"""


class Bad(Shop):
    """Fails in each way that an answer can."""

    def reply(self, arrival: Arrival) -> bytes:
        match arrival.path.partition("?")[0]:
            case "/base/fails":
                return b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
            case "/base/moved":
                return b"HTTP/1.1 302 Found\r\nLocation: /base/there\r\nContent-Length: 0\r\n\r\n"
            case "/base/broken":
                return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nxnot"
        return super().reply(arrival)


def test_k6_judges_answers_as_ecoload_does(
    tool: Callable[[str], Path], workspace: Path, tmp_path: Path
) -> None:
    records = [
        {"feeder": "things", "name": "x", "head": "plain"},
        {"feeder": "things", "name": "a/../b", "head": "plain"},
        {"feeder": "things", "name": "y", "head": "two\nlines"},
    ]
    (workspace / "scenarios/shop.yaml").write_text(TROUBLE)
    write_records(workspace, records)
    with Bad() as server:
        plan = plan_at(workspace, server.url, iterations=3)
        finished = run_once(Request(plan, workspace, tmp_path / "runs", {"KEY": "k"}), Silent())
        ours, server.arrivals = server.paths(), []
        folder = workspace / "tests/perf/k6"
        run(tool("k6"), folder, script_of(plan, {"things": records}, 3, "r"), {"SHOP_KEY": "k"})
    assert server.paths() == ours
    metrics = orjson.loads((folder / "summary.json").read_bytes())["metrics"]
    expected = {}
    for route, counts in outcomes(finished).items():
        errors = sum(count for name, count in counts.items() if name != "ok")
        checks = counts.get("check_failed", 0) + counts.get("capture_failed", 0)
        expected[route] = (errors, checks, counts.get("timeout", 0))
    assert {route: judged(metrics, route) for route in expected} == expected
    assert expected["fails"] == (3, 0, 0)
    assert expected["search"] == (13, 12, 0)
    assert expected["gone"] == (3, 0, 0)
    assert expected["slow"] == (3, 0, 3)
    assert expected["cookies"] == (1, 1, 0)


def judged(metrics: dict[str, Any], route: str) -> tuple[int, int, int]:
    """Errors, failed checks and timeouts of a route, as a script counts them."""
    return (
        metrics[f"errors{{name:{route}}}"]["values"]["passes"],
        metrics[f"failed_checks{{name:{route}}}"]["values"]["count"],
        metrics[f"timeouts{{name:{route}}}"]["values"]["count"],
    )


def test_a_setup_that_does_not_succeed_ends_the_test(
    tool: Callable[[str], Path], workspace: Path, tmp_path: Path
) -> None:
    text = "app: shop\nsetup: [{route: fails}]\nsteps: [{route: search}]\n"
    (workspace / "scenarios/shop.yaml").write_text(text)
    with Bad() as server:
        plan = plan_at(workspace, server.url)
        done = run(tool("k6"), tmp_path / "k6", script_of(plan, {}, 1, "r"), codes=(107,))
    assert "fails did not succeed (status 500): not true: status is 200 to 399" in done.stderr
    assert server.paths() == ["/base/fails"]
