"""A browser flow as Playwright tells of it, judged; and what is kept of it, without anybody's secrets."""

from __future__ import annotations

import base64
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.engine.browser_evidence import (
    Hider,
    failed_requests,
    hidden_har,
    sensitive_in_har,
    sensitive_in_trace,
    write_hidden_trace,
)
from ecoload.engine.hiding import HIDDEN
from ecoload.engine.playwright import private_folder
from ecoload.measure.browser import BrowserSeen, seen
from ecoload.measure.flow import StepOutcome
from ecoload.measure.result import Verdict
from ecoload.plan import Browser, BrowserStep, Plan, Visit, Vitals
from ecoload.report.browser import browser_html, browser_markdown, texts_of
from ecoload.verdict.browser import judge_browser, short
from tests.unit.guard_plans import plan

S = 1_000_000_000
STEPS = (BrowserStep("signed up"), BrowserStep("listed", 60 * S), BrowserStep("on the tile", 60 * S))
LIMITS = Vitals(lcp_ms=2500.0, cls=0.1, inp_ms=200.0, ttfb_ms=800.0)
Event = dict[str, Any]


def the_plan(vitals: Vitals | None = None) -> Plan:
    browser = Browser("order", "Who orders sees it.", (), (Visit(0, True),), STEPS, 120 * S, vitals)
    return plan(scenarios=(), loads=(), browser=browser)


def began(name: str, at_ms: float) -> Event:
    return {"event": "step", "name": name, "at_ms": at_ms}


def ended(name: str, took_ms: float, error: str | None = None) -> Event:
    return {"event": "step_end", "name": name, "took_ms": took_ms} | ({"error": error} if error else {})


def over(status: str = "passed", *errors: str, vitals: tuple[Event, ...] = ()) -> list[Event]:
    attached = [{"name": "vitals", "text": json.dumps(one)} for one in vitals]
    end = {"event": "end", "flow": "order", "status": status, "took_ms": 1, "errors": list(errors)}
    return [end | {"attachments": attached}, {"event": "over", "status": status}]


HELD = [
    {"event": "begin", "flow": "order", "at_ms": 1000},
    *(began("signed up", 1100), ended("signed up", 400)),
    *(began("listed", 1500), ended("listed", 700)),
    *(began("on the tile", 2200), ended("on the tile", 300)),
]


def judged(events: list[Event], vitals: Vitals | None = None, **how: Any) -> tuple[Verdict, list[str], Any]:
    told = {"interrupted": False} | how
    return judge_browser(the_plan(vitals), seen(STEPS, events), **told)


def words(proofs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(proof["name"], proof["verdict"]) for proof in proofs]


def test_what_holds_in_its_time_passes_and_is_timed_from_the_last_step_without_a_limit() -> None:
    verdict, reasons, proofs = judged([*HELD, *over()])
    assert (verdict, reasons) == (Verdict.PASS, [])
    assert words(proofs) == [("signed up", "PASS"), ("listed", "PASS"), ("on the tile", "PASS")]
    assert [proof["seen_ms"] for proof in proofs] == [None, 700.0, 1000.0]
    assert [proof["took_ms"] for proof in proofs] == [400.0, 700.0, 300.0]


def test_a_step_that_fails_is_named_and_what_follows_was_not_reached() -> None:
    events = [*HELD[:3], began("listed", 1500), ended("listed", 60_000, "Error: nothing\n  at x.ts:1")]
    verdict, reasons, proofs = judged([*events, *over("failed", "Error: nothing")])
    assert verdict is Verdict.FAIL
    assert reasons == ["listed: nothing"]
    assert words(proofs) == [("signed up", "PASS"), ("listed", "FAIL"), ("on the tile", "INCONCLUSIVE")]
    assert proofs[2]["reason"] == "a step before it did not hold"


def test_what_is_seen_too_late_fails_though_the_spec_took_it() -> None:
    late = [*HELD[:3], began("listed", 1500), ended("listed", 60_001), began("on the tile", 61_501)]
    verdict, reasons, _ = judged([*late, ended("on the tile", 1), *over()])
    assert verdict is Verdict.FAIL
    assert reasons[0] == "listed: it was seen after 60.0 s; it must be within 60 s"


def test_a_step_that_was_cut_off_by_the_time_says_so() -> None:
    events = [*HELD[:3], began("listed", 1500)]
    ended_late = [
        *events,
        ended("listed", 9, "net::ERR_ABORTED"),
        *over("timedOut", "Test timeout of 6000ms"),
    ]
    assert judged(ended_late)[1] == ["listed: Test timeout of 6000ms · net::ERR_ABORTED"]
    never = [*events, *over("timedOut", "Test timeout of 6000ms")]
    assert judged(never)[1] == ["listed: Test timeout of 6000ms"]


def test_playwright_that_was_killed_is_a_fail_with_what_was_seen_before() -> None:
    verdict, reasons, proofs = judged([*HELD[:4]], trouble="Playwright had not ended")
    assert verdict is Verdict.FAIL
    assert reasons == ["the flow: Playwright had not ended"]
    assert words(proofs)[:2] == [("signed up", "PASS"), ("listed", "INCONCLUSIVE")]


def test_who_interrupts_it_proves_nothing() -> None:
    verdict, _, proofs = judged([*HELD[:4], *over("interrupted")], interrupted=True)
    assert verdict is Verdict.INCONCLUSIVE
    assert words(proofs)[-1] == ("the flow", "INCONCLUSIVE")


BROKE = {"event": "error", "error": "it broke"}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([*HELD, *over("failed", "Error: it asked what it may not")], "the flow: it asked what it may not"),
        ([{"event": "error", "error": "Error: no such module"}], "the flow: no such module"),
        ([], "the flow: Playwright carried out no such test"),
        ([*HELD, *over("skipped")], "the flow: Playwright carried out no such test"),
        (
            [*HELD, over()[0], {"event": "error", "error": "it broke"}, over("failed")[1]],
            "the flow: it broke",
        ),
        ([*HELD, over()[0]], "the flow: Playwright carried out no such test"),
    ],
)
def test_what_playwright_does_not_call_passed_is_a_fail(events: list[Event], reason: str) -> None:
    verdict, reasons, _ = judged(events)
    assert (verdict, reasons) == (Verdict.FAIL, [reason])


GOOD = {"page": "/", "lcp_ms": 2500, "cls": 0, "inp_ms": None, "ttfb_ms": 40.5}


def test_each_web_vital_is_held_against_its_limit() -> None:
    slow = {"page": "/slow", "lcp_ms": 2501, "cls": 0.3, "inp_ms": 201, "ttfb_ms": 800}
    verdict, reasons, proofs = judged([*HELD, *over(vitals=(GOOD, slow))], LIMITS)
    assert verdict is Verdict.FAIL
    assert reasons == [
        "LCP of /slow: 2501 ms > 2500 ms",
        "CLS of /slow: 0.3 > 0.1",
        "INP of /slow: 201 ms > 200 ms",
    ]
    # A page that nobody touched has no INP.
    assert [name for name, _ in words(proofs)[3:6]] == ["LCP of /", "CLS of /", "TTFB of /"]
    assert judged([*HELD, *over(vitals=(GOOD,))], LIMITS)[0] is Verdict.PASS
    assert judged([*HELD, *over(vitals=(slow,))])[0] is Verdict.PASS, "no limit, no verdict"


def test_what_was_not_measured_never_passes() -> None:
    verdict, reasons, _ = judged([*HELD, *over(vitals=(GOOD | {"lcp_ms": None},))], LIMITS)
    assert (verdict, reasons) == (Verdict.INCONCLUSIVE, ["LCP of /: the page told none"])
    verdict, reasons, _ = judged([*HELD, *over()], LIMITS)
    assert (verdict, reasons) == (Verdict.INCONCLUSIVE, ["web vitals: no page was measured"])


@given(
    st.lists(
        st.fixed_dictionaries(
            {"event": st.sampled_from(["begin", "step", "step_end", "end", "error"])},
            optional={
                "name": st.sampled_from(["signed up", "listed", 1, None]),
                "at_ms": st.one_of(st.none(), st.text(), st.floats()),
                "took_ms": st.one_of(st.none(), st.booleans(), st.floats()),
                "errors": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text()))),
                "attachments": st.one_of(
                    st.none(), st.lists(st.one_of(st.none(), st.just({"name": "vitals"})))
                ),
                "status": st.one_of(st.none(), st.just("failed")),
            },
        )
    )
)
def test_whatever_is_told_it_is_judged_and_never_passes_without_a_pass(events: list[Event]) -> None:
    verdict, reasons, proofs = judged(events)
    assert verdict is not Verdict.PASS
    assert reasons
    assert len(proofs) >= len(STEPS)


def test_a_long_error_is_one_short_line() -> None:
    call = "Call log:\n  - waiting for x\n    at y.ts:1"
    text = f"Error: expect(locator).toHaveText(expected)\n\nExpected: 1\n\n{call}"
    assert short(text) == "expect(locator).toHaveText(expected) · Expected: 1"
    assert len(short("x" * 1000)) == 400


# --- what is kept ---------------------------------------------------------------------------------

SECRETS = {
    "cookie": "c00kie-value",
    "set": "set-c00kie-value",
    "bearer": "bearer-token-value",
    "basic": "basic-password",
    "code": "one-time-code",
    "nested": "state-of-a-redirect",
    "typed": "pass word/ß&more",
    "json": "json-token-value",
    "multipart": "multipart-secret",
    "hidden": "f0rm-token-value",
    "location": "code-in-a-location",
}


def har() -> dict[str, Any]:
    basic = base64.b64encode(f"me:{SECRETS['basic']}".encode()).decode()
    inner = f"/callback?{urlencode({'state': SECRETS['nested']})}"
    request = {
        "method": "POST",
        "url": f"http://a1.example/login?{urlencode({'code': SECRETS['code'], 'next': inner})}",
        "headers": [
            {"name": "Cookie", "value": f"a={SECRETS['cookie']}; b=2"},
            {"name": "authorization", "value": f"Bearer {SECRETS['bearer']}"},
            {"name": "Proxy-Authorization", "value": f"Basic {basic}"},
            {"name": "Accept", "value": "text/html"},
        ],
        "cookies": [{"name": "a", "value": SECRETS["cookie"]}],
        "queryString": [{"name": "code", "value": "ab"}],
        "postData": {
            "mimeType": "application/x-www-form-urlencoded",
            "text": urlencode({"password": SECRETS["typed"], "email": "student@example.test"}),
            "params": [{"name": "password", "value": SECRETS["typed"]}],
        },
    }
    multipart = f'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n{SECRETS["multipart"]}\r\n--x--'
    answers = [
        {
            "headers": [
                {"name": "Set-Cookie", "value": f"s={SECRETS['set']}; HttpOnly"},
                {"name": "Location", "value": f"/callback?code={SECRETS['location']}"},
            ],
            "content": {
                "mimeType": "text/html",
                "text": f'<input type="hidden" value="{SECRETS["hidden"]}" name="form_token">',
            },
        },
        {
            "headers": [],
            "content": {
                "mimeType": "application/json",
                "text": json.dumps({"a": [{"access_token": SECRETS["json"]}], "total": 3}),
            },
        },
    ]
    second = {
        "method": "POST",
        "url": "http://a5.example/documents",
        "headers": [],
        "postData": {"mimeType": "multipart/form-data; boundary=x", "text": multipart},
    }
    return {
        "log": {
            "entries": [
                {"request": request, "response": answers[0]},
                {"request": second, "response": answers[1]},
            ]
        }
    }


def test_whatever_proves_who_somebody_is_is_found_where_it_stands() -> None:
    found = sensitive_in_har(har())
    assert set(SECRETS.values()) <= found
    assert not {"text/html", "student@example.test", "3"} & found


def test_what_went_wrong_on_the_network_is_told_once_and_without_its_query() -> None:
    def entry(url: str, **response: Any) -> dict[str, Any]:
        return {"request": {"method": "GET", "url": url}, "response": response}

    refused = entry("http://a1/auth?state=x", status=-1, _failureText="net::ERR_CONNECTION_REFUSED")
    left = entry("http://a5/", status=-1, _failureText="net::ERR_ABORTED")
    entries = [refused, refused, entry("http://a8/#t", status=503), entry("http://a8/no", status=404), left]
    assert failed_requests({"log": {"entries": entries}}) == [
        "GET http://a1/auth: net::ERR_CONNECTION_REFUSED",
        "GET http://a8/: 503",
    ]
    assert failed_requests(None) == []


def test_a_har_that_is_kept_holds_none_of_it_and_all_of_the_rest() -> None:
    kept = hidden_har(har(), sensitive_in_har(har()))
    for secret in SECRETS.values():
        for spelling in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert spelling.encode() not in kept, secret
    tree = json.loads(kept)
    first = tree["log"]["entries"][0]["request"]
    assert [h["value"] for h in first["headers"]] == [HIDDEN, HIDDEN, HIDDEN, "text/html"]
    assert first["queryString"] == [{"name": "code", "value": HIDDEN}], "however short it is"
    assert "student%40example.test" in first["postData"]["text"]


def trace(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_trace_that_is_kept_holds_none_of_it(tmp_path: Path) -> None:
    entry = har()["log"]["entries"][0]
    snapshot = [
        "HTML",
        {},
        ["BODY", {}, ["INPUT", {"type": "password", "__playwright_value_": "seen in the page"}]],
    ]
    lines = [
        {"type": "resource-snapshot", "snapshot": entry},
        {
            "type": "before",
            "params": {"selector": 'internal:label="Password"i', "value": "typed by the test"},
        },
        {"type": "before", "params": {"selector": 'internal:label="Name"i', "value": "Somebody"}},
        {"type": "frame-snapshot", "snapshot": {"html": snapshot}},
        {"type": "log", "message": "the token eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmVk was logged"},
    ]
    page = f'<form><input name="form_token" value="{SECRETS["hidden"]}"></form>'.encode()
    picture = bytes(range(256)) * 4
    source = trace(
        tmp_path / "in.zip",
        {
            "test.trace": "\n".join(map(json.dumps, lines)).encode() + b"\nnot json\n[1]\n",
            "resources/page.html": page,
            "resources/picture.png": picture,
        },
    )
    found = sensitive_in_trace(source)
    assert {"typed by the test", "seen in the page", SECRETS["hidden"], SECRETS["cookie"]} <= found
    assert "Somebody" not in found
    write_hidden_trace(source, tmp_path / "out.zip", found)
    with zipfile.ZipFile(tmp_path / "out.zip") as kept:
        everything = b"".join(kept.read(name) for name in kept.namelist())
        assert kept.read("resources/picture.png") == picture
        assert b"eyJ" not in kept.read("test.trace")
        for line in kept.read("test.trace").decode().splitlines()[:-2]:
            json.loads(line)
    for secret in (*found, SECRETS["typed"]):
        if len(secret) >= 4:
            assert secret.encode() not in everything, secret
    assert b"Somebody" in everything


@pytest.mark.parametrize("where", ["_file", "_sha1"])
def test_bodies_that_stand_in_files_of_their_own_are_looked_into(tmp_path: Path, where: str) -> None:
    def in_file(kind: str, name: str) -> dict[str, Any]:
        return {"mimeType": kind, "text": "", where: f"resources/{name}" if where == "_file" else name}

    form = "application/x-www-form-urlencoded"
    answer = {"access_token": "opaque-token", "token_type": "Bearer", "code": "483920"}
    entry = {
        "request": {"method": "POST", "url": "http://a/", "postData": in_file(form, "post.dat")},
        "response": {"content": in_file("application/json; charset=utf-8", "answer.json")},
    }
    lost = {"request": {"url": "http://a/", "postData": in_file(form, "gone.dat")}, "response": None}
    events = ({"type": "resource-snapshot", "snapshot": one} for one in (entry, lost))
    source = trace(
        tmp_path / "in.zip",
        {
            "0-trace.network": "\n".join(map(json.dumps, events)).encode(),
            "resources/post.dat": b"password=posted%2Fsecret&email=student",
            "resources/answer.json": json.dumps(answer).encode(),
        },
    )
    found = sensitive_in_trace(source)
    assert found == {"posted/secret", "opaque-token", "483920"}
    write_hidden_trace(source, tmp_path / "out.zip", found)
    with zipfile.ZipFile(tmp_path / "out.zip") as kept:
        assert kept.read("resources/post.dat") == b"password=(hidden)&email=student"
        assert json.loads(kept.read("resources/answer.json")) == {
            "access_token": HIDDEN,
            "token_type": "Bearer",
            "code": HIDDEN,
        }


def test_json_stays_json_whatever_is_secret_in_it(tmp_path: Path) -> None:
    line = {"type": "before", "callId": 12345, "ok": True, "params": {"text": "it is 12345, true"}, "x": None}
    source = trace(tmp_path / "in.zip", {"test.trace": json.dumps(line).encode()})
    write_hidden_trace(source, tmp_path / "out.zip", {"12345", "true", "null"})
    with zipfile.ZipFile(tmp_path / "out.zip") as kept:
        told = json.loads(kept.read("test.trace"))
    assert told == line | {"params": {"text": "it is (hidden), (hidden)"}}


KEYS = ["log", "entries", "request", "response", "headers", "cookies", "postData", "name"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    )
)
def test_a_har_of_any_shape_is_taken(tree: Any) -> None:
    json.loads(hidden_har(tree, sensitive_in_har(tree)))


def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "trace.zip").write_bytes(b"PK but no zip")
    with pytest.raises(ValueError, match=r"trace\.zip is no trace"):
        sensitive_in_trace(tmp_path / "trace.zip")


@given(st.text(min_size=4, max_size=40).filter(lambda text: text.strip() == text and text not in HIDDEN))
def test_a_secret_is_hidden_in_every_spelling(secret: str) -> None:
    for written in (
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ):
        content = f"« {written} »".encode("utf-8", "surrogatepass")
        assert Hider([secret]).data(content) == f"« {HIDDEN} »".encode()


def test_a_signed_token_is_hidden_without_being_known() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzdHVkZW50In0.c2lnbmF0dXJl"
    assert Hider([]).text(f"got {token}, twice {token}") == f"got {HIDDEN}, twice {HIDDEN}"


def test_a_private_folder_goes_and_so_does_one_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "ecoload-browser-left"
    left.mkdir(mode=0o700)
    (left / "cookies").write_text("canary")
    other = tmp_path / "somebody-elses"
    other.mkdir()
    with private_folder() as first:
        assert not left.exists()
        assert first.stat().st_mode & 0o077 == 0
        with private_folder():
            assert first.exists(), "one that is held is not one that was left"
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


# --- what people read -----------------------------------------------------------------------------


def result(**changes: Any) -> dict[str, Any]:
    verdict, reasons, proofs = judged([*HELD, *over(vitals=(GOOD,))], LIMITS)
    tree = {
        "kind": "browser",
        "app": "a5",
        "flow": "order",
        "about": "Who orders <b>sees</b> it.",
        "run_id": "r1",
        "started_at": "2026-11-26T10:00:00.000+00:00",
        "duration_s": 3.2,
        "status": "finished",
        "verdict": verdict.value,
        "verdict_reasons": reasons,
        "proofs": proofs,
        "vitals": [GOOD],
        "limits": {"lcp_ms": 2500.0, "cls": 0.1, "inp_ms": 200.0, "ttfb_ms": 800.0},
        "evidence": [{"file": "01-it.png", "kind": "screenshot", "about": "01 <it>"}],
        "notes": [],
        "protocol": {"name": "P"},
    }
    return tree | changes


def test_the_page_shows_every_step_its_pictures_and_no_foreign_markup(tmp_path: Path) -> None:
    picture = io.BytesIO(b"\x89PNG")
    (tmp_path / "01-it.png").write_bytes(picture.getvalue())
    page = browser_html([(result(), tmp_path), (result(flow="other", verdict="FAIL"), tmp_path / "gone")])
    assert page.count("Content-Security-Policy") == 1
    assert "img-src data:; media-src data:" in page
    assert f'src="data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"' in page
    assert "<b>sees" not in page and "01 <it>" not in page
    for text in ("signed up", "on the tile", "LCP ≤ 2500 ms", "40 ms", "2 browser flows", "FAIL"):
        assert text in page, text
    assert "<script" not in page


def test_the_summary_has_the_steps_and_the_web_vitals() -> None:
    text = browser_markdown(result(verdict_reasons=["it | broke"]))
    assert "| PASS | listed | 0.70 | 0.70 | 60 s |" in text
    assert "it \\| broke" in text
    assert "2500 ms" in text


def test_the_results_of_all_flows_have_one_verdict(tmp_path: Path) -> None:
    texts = texts_of("a5", [(result(), tmp_path), (result(verdict="INCONCLUSIVE"), tmp_path)])
    assert set(texts) == {"a5_playwright_report.html", "a5_e2e_results.json"}
    tree = json.loads(texts["a5_e2e_results.json"])
    assert (tree["verdict"], len(tree["flows"])) == ("INCONCLUSIVE", 2)


def test_a_flow_that_told_nothing_is_as_good_as_none() -> None:
    told = seen(STEPS, [])
    assert isinstance(told, BrowserSeen)
    assert {step.outcome for step in told.steps} == {StepOutcome.NOT_REACHED}
