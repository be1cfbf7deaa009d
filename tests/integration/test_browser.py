"""Browser flows in a real Chromium, on the embedded sandbox: those that ship hold, and what cannot be carried
out says why. What is kept of them holds nobody's secret.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from ecoload.sandbox import Sandbox
from tests.integration.browsers import APPS, PROJECT, ROOT, Lab, failed, lab_in, need, verdicts
from tests.unit.schemas import problems, published

SCHEMA = published("e2e_result.schema.json")
FLOWS = ("a5_doc_a4_outcomes", "a5_signup_oidc_crm", "a7_pages_cta")
EVIDENCE = {
    *("e2e.json", "network.har", "plan.json", "playwright.json"),
    *("report.html", "summary.md", "trace.zip", "video.webm"),
}
SHELL = ("sh", "env", "cat", "readlink", "dirname", "basename", "uname", "grep")
"""What the script that is called chromium needs."""


@pytest.fixture(scope="module")
def sandbox(tool: Callable[[str], Path]) -> Iterator[Sandbox]:
    need(tool)
    with Sandbox(APPS, seed=1) as started:
        yield started


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Lab:
    return lab_in(tmp_path, sandbox)


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder; of a zip file every member."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        yield str(path), path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield from ((f"{path}!{name}", archive.read(name)) for name in archive.namelist())


def processes_with(text: str) -> list[int]:
    """Whoever has `text` in its command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in told:
            found.append(int(entry.name))
    return found


def waited_until(holds: Callable[[], bool], within_s: float = 20.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return holds()


def test_a_healthy_ecosystem_passes_and_leaves_its_evidence(lab: Lab) -> None:
    code, results = lab.e2e()
    assert code == 0, [result["verdict_reasons"] for result in results]
    assert [result["flow"] for result in results] == list(FLOWS)
    for result in results:
        folder = Path(result.pop("folder"))
        assert problems(SCHEMA, result, "e2e") == []
        assert json.loads((folder / "e2e.json").read_text()) == result
        assert set(verdicts(result).values()) == {"PASS"}
        pictures = [one["file"] for one in result["evidence"] if one["kind"] == "screenshot"]
        assert len(pictures) == len(verdicts(result)), "a picture of each step"
        assert {path.name for path in folder.iterdir()} == EVIDENCE | set(pictures)
        assert (folder / "video.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3", "a film"
        with zipfile.ZipFile(folder / "trace.zip") as trace:
            assert any(name.endswith(".trace") for name in trace.namelist())
        har = json.loads((folder / "network.har").read_text())["log"]
        asked = {entry["request"]["url"] for entry in har["entries"]}
        assert asked, "what went over the network"
        sent = [{h["name"].lower(): h["value"] for h in e["request"]["headers"]} for e in har["entries"]]
        assert any(one.get("x-ecoload-run") == result["run_id"] for one in sent)
        again = [sys.executable, "-m", "ecoload", "report", str(folder)]
        written = (folder / "report.html").read_bytes()
        subprocess.run(again, env=lab.environ(), check=True, capture_output=True)
        assert (folder / "report.html").read_bytes() == written
    pages = {one["page"] for one in results[2]["vitals"]}
    assert {"/", "/browse", "/browse/states", "/browse/majors"} <= pages
    for one in results[2]["vitals"]:
        assert 0 < one["ttfb_ms"] <= one["lcp_ms"] < 60_000
        assert one["cls"] >= 0
    for name in ("a5_playwright_report.html", "a5_e2e_results.json"):
        assert (lab.folder / PROJECT / name).stat().st_size > 1000

    # Nobody's secret stands in anything that was written: not what was typed, no cookie, no token.
    canary = lab.sandbox.secrets["A1_USER_PASSWORD"].encode()
    kept = list(contents(lab.folder / "runs")) + list(contents(lab.folder / PROJECT))
    kept = [(name, content) for name, content in kept if "node_modules" not in name]
    assert len(kept) > 100
    for name, content in kept:
        assert canary not in content, name
        assert not re.search(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ", content), name
        assert not re.search(rb"a[15]_(session|browser)=(?!\(hidden\))[A-Za-z0-9_-]{16,}", content), name
        assert not re.search(rb"form_token=(?!\(hidden\)|%28hidden%29)[0-9a-f]{64}", content), name
        assert not re.search(rb'name=\\?"form_token\\?" value=\\?"[0-9a-f]{64}', content), name
        assert not re.search(rb"[?&](code|state|code_challenge)=[A-Za-z0-9_-]{16,}", content), name


def test_a_page_that_never_loads_ends_the_flow_in_its_time(lab: Lab) -> None:
    # It has a second and a half for a page, and then no time left.
    body = """
      await flow.step('first', async () => {
        await expect(page.goto(url('a7', '/'))).rejects.toThrow('Timeout 1500ms exceeded');
      });
      await flow.step('second', async () => {
        await page.waitForTimeout(4_000);
        await page.goto(url('a7', '/'));
      });"""
    lab.spec("never", body, timeout="6s", steps=[{"name": "first"}, {"name": "second"}])
    # It takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, (result,) = lab.e2e("never", urls={"a7": url})
    assert (code, failed(result)) == (99, ["second"])
    assert "Test timeout of 6000ms exceeded" in result["verdict_reasons"][0]
    assert time.monotonic() - begun < 60


def test_what_a_browser_may_not_ask_is_not_sent_and_fails_the_flow(lab: Lab) -> None:
    body = """
      await flow.step('it', async () => {
        await page.goto(url('a7', '/browse/states'));
        await page.evaluate(() => fetch('/api/cta', { method: 'POST', body: '{}' })).catch(() => undefined);
        await page.goto('http://127.0.0.1:9/elsewhere').catch(() => undefined);
        await page.goto('http://other.example/x').catch(() => undefined);
      });"""
    lab.spec("asks_elsewhere", body, asks={"a7": "read"})
    code, (result,) = lab.e2e("asks_elsewhere")
    assert (code, failed(result)) == (99, ["the flow"])
    assert re.search(
        "POST http://127.0.0.1:[0-9]+/api/cta: a7 is only read; "
        "GET http://127.0.0.1:9/elsewhere: it is of no app of this flow; "
        "GET http://other.example/x: it is of no app of this flow$",
        result["verdict_reasons"][0],
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "the spec left out steps of the flow: it"),
        ("await flow.step('another', async () => {});", "the next step of the flow is it, not another"),
        ("this is no TypeScript", "SyntaxError"),
    ],
)
def test_a_spec_that_does_not_do_what_its_flow_says_is_no_pass(lab: Lab, body: str, said: str) -> None:
    lab.spec("lazy", body)
    code, (result,) = lab.e2e("lazy")
    assert (code, result["verdict"]) == (99, "FAIL")
    assert any(said in reason for reason in result["verdict_reasons"]), result["verdict_reasons"]


def test_without_a_browser_nothing_is_asked_and_it_is_said_how_to_get_one(lab: Lab, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    only = tmp_path / "bin"
    only.mkdir()
    (only / "node").symlink_to(node)
    nothing = {"PATH": str(only), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "none"), "CHROMIUM": ""}
    code, results = lab.e2e("a7_pages_cta", "a5_signup_oidc_crm", **nothing)
    assert code == 8
    assert [result["status"] for result in results] == ["no_browser", "no_browser"]
    assert results[0]["verdict_reasons"][0].startswith("there is no Chromium here; `make tools`")

    (only / "node").unlink()
    code, (result,) = lab.e2e("a7_pages_cta", **nothing)
    assert (code, result["status"]) == (8, "no_browser")
    assert "there is no node on the PATH" in result["verdict_reasons"][0]

    (lab.folder / PROJECT / "node_modules").unlink()
    code, (result,) = lab.e2e("a7_pages_cta")
    assert (code, result["status"]) == (8, "no_browser")
    assert "there is no Playwright in " in result["verdict_reasons"][0]


def test_a_browser_that_does_not_start_is_none(lab: Lab) -> None:
    code, (result,) = lab.e2e("a7_pages_cta", CHROMIUM="/bin/false")
    assert (code, result["status"]) == (8, "no_browser")
    assert "/bin/false does not start" in result["verdict_reasons"][0]


def test_without_ffmpeg_there_is_no_film_and_the_rest_holds(lab: Lab, tmp_path: Path) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    for name in ("node", "chromium", *SHELL):
        (only / name).symlink_to(shutil.which(name) or "/bin/true")
    lab.spec("short", "await flow.step('it', async () => {\n  await page.goto(url('a7', '/'));\n});")
    code, (result,) = lab.e2e("short", PATH=str(only), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (code, result["verdict"]) == (0, "PASS"), result["verdict_reasons"]
    assert not any(one["kind"] == "video" for one in result["evidence"])
    assert "no ffmpeg" in result["notes"][0]


def test_where_the_system_has_no_chromium_playwrights_own_serves(lab: Lab, tmp_path: Path) -> None:
    own = {"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers")}
    script = "console.log(require('@playwright/test').chromium.executablePath())"
    asked = subprocess.run(
        ["node", "-e", script], cwd=ROOT / PROJECT, env=os.environ | own, capture_output=True, check=True
    )
    place = Path(asked.stdout.decode().strip())
    place.parent.mkdir(parents=True)
    place.symlink_to(os.path.realpath("/usr/bin/chromium"))
    only = tmp_path / "bin"
    only.mkdir()
    for name in ("node", "ffmpeg", *SHELL):
        (only / name).symlink_to(shutil.which(name) or "/bin/true")
    lab.spec("short", "await flow.step('it', async () => {\n  await page.goto(url('a7', '/'));\n});")
    code, (result,) = lab.e2e("short", PATH=str(only), **own)
    assert (code, result["verdict"]) == (0, "PASS"), result["verdict_reasons"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_goes_on_after_it_was_ended(lab: Lab, number: signal.Signals) -> None:
    lab.spec("long", "await flow.step('it', async () => {\n  await page.goto(url('a7', '/'));\n"
             "  await page.waitForTimeout(60_000);\n});", timeout="90s")  # fmt: skip
    mark = f"ecoload-test-{os.getpid()}-{number.name}"
    command = lab.command("e2e", "--flow=long")
    with ExitStack() as stack:
        log = stack.enter_context((lab.folder / "log").open("wb"))
        # What Playwright starts has this in its environment, and so has the browser.
        child = subprocess.Popen(command, env=lab.environ(TZ=mark), stdout=log, stderr=log)
        try:
            assert waited_until(lambda: len(processes_with(mark)) > 4, 30), "Chromium is up"
            child.send_signal(number)
            code = child.wait(timeout=40)
        finally:
            child.kill()
    if number is signal.SIGINT:
        assert code == 130
        (path,) = (lab.folder / "runs").glob("*/e2e.json")
        assert json.loads(path.read_text())["status"] == "interrupted"
    assert waited_until(lambda: not processes_with(mark)), processes_with(mark)


def test_a_secret_is_told_to_the_spec_and_kept_nowhere(lab: Lab) -> None:
    """A canary in every place that evidence is made of: typed, sent, answered, logged, thrown."""
    canary = 'canary/ß "61c2" & more'
    body = """
      const canary = secret('A1_USER_PASSWORD');
      console.log('logged', canary);
      await flow.step('it', async () => {
        await page.goto(url('a5', '/login'));
        await page.getByLabel('Email address').fill('student-0001@example.test');
        await page.getByLabel('Password').fill(canary);
        await page.evaluate((text) => console.log(text), canary);
        await page.getByRole('button', { name: 'Sign in' }).click();
        await page.goto(url('a5', '/?echo=' + encodeURIComponent(canary)));
        throw new Error('it says ' + canary);
      });"""
    lab.spec("canary", body, app="a5", asks={"a5": "write", "a1": "write"}, secrets=["A1_USER_PASSWORD"])
    code, (result,) = lab.e2e("canary", A1_USER_PASSWORD=canary)
    assert (code, failed(result)) == (99, ["it"])
    assert "it says (hidden)" in result["verdict_reasons"][0]
    for name, content in contents(Path(result["folder"])):
        assert b"61c2" not in content, name


def test_the_project_runs_without_ecoload_and_is_sound_typescript(lab: Lab) -> None:
    project = lab.folder / PROJECT
    export = [
        sys.executable,
        "-m",
        "ecoload",
        "export-playwright",
        "--targets",
        str(lab.folder / "targets.yaml"),
    ]
    subprocess.run(export, env=lab.environ(), check=True, capture_output=True)
    subprocess.run([*export, "--check"], env=lab.environ(), check=True, capture_output=True)
    node: Sequence[str] = ("node", "node_modules/typescript/bin/tsc", "--noEmit")
    typed = subprocess.run(node, cwd=project, capture_output=True, text=True, check=False)
    assert typed.returncode == 0, typed.stdout
    urls = {f"{app.upper()}_URL": url for app, url in lab.sandbox.urls.items()}
    run = ("node", "node_modules/@playwright/test/cli.js", "test", "a5_signup")
    done = subprocess.run(
        run, cwd=project, env=lab.environ(**urls), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout

    urls["A5_URL"] = "http://elsewhere.example"
    done = subprocess.run(
        run, cwd=project, env=lab.environ(**urls), capture_output=True, text=True, timeout=120, check=False
    )
    assert "A5_URL: targets.yaml names no elsewhere.example" in done.stdout


def test_the_shipped_project_is_current() -> None:
    check = [sys.executable, "-m", "ecoload", "export-playwright", "--check"]
    unset = {name: value for name, value in os.environ.items() if not re.fullmatch(r"A\d_URL", name)}
    done = subprocess.run(check, cwd=ROOT, env=unset, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
