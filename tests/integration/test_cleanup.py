"""A cleanup of the real sandbox: what runs wrote goes, at each app that says how, and only when it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ecoload.guard.lock import locked
from ecoload.run import Request, resolve_secrets, run_once
from ecoload.sandbox import APPS, Sandbox
from ecoload.spec.workspace import load_workspace, make_cleanup, make_plan
from tests.integration.driving import Silent
from tests.integration.ecosystem import call, eventually, token
from tests.servers.recorder import Arrival, Recorder

ROOT = Path(__file__).resolve().parents[2]
CLEANED = ["a6", "a5", "a3", "a2", "a1"]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "a workspace"
    root.mkdir()
    shutil.copy(ROOT / "targets.yaml", root)
    shutil.copytree(ROOT / "scenarios", root / "scenarios")
    return root


@pytest.fixture
def command(workspace: Path, sandbox: Sandbox) -> Command:
    """ecoload on the workspace, with the sandbox as a shell has it that has read `sandbox.env`."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        addresses = {f"{app.upper()}_URL": url for app, url in sandbox.urls.items()}
        return subprocess.run(
            [sys.executable, "-m", "ecoload", *arguments],
            cwd=workspace,
            env={**os.environ, **addresses, **sandbox.secrets, "PYTHONPATH": str(ROOT), **environ},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def put_load_on(sandbox: Sandbox, workspace: Path, app: str) -> None:
    plan = make_plan(
        load_workspace(workspace / "targets.yaml", environ={}),
        app,
        "smoke",
        duration_scale=0.006,
        base_urls=sandbox.urls,
        embedded=sandbox.urls,
    )
    secrets = resolve_secrets(plan, sandbox.secrets, workspace)
    run_once(Request(plan, workspace, workspace / "runs", secrets), Silent())


def events(sandbox: Sandbox) -> int:
    """How many events of the namespace A2 holds."""
    url = f"{sandbox.urls['a2']}/v1/events/count?namespace=perf_test"
    return int(call(url, headers=token(sandbox, "a2"))[1]["count"])


def test_a_cleanup_deletes_what_runs_wrote_and_the_generated_files(
    sandbox: Sandbox, workspace: Path, command: Command, tool: Callable[[str], Path]
) -> None:
    assert command("export").returncode == 0
    for app in ("a2", "a3", "a5", "a6"):
        put_load_on(sandbox, workspace, app)
    git = tool("git")
    subprocess.run([git, "init", "-q"], cwd=workspace, check=True)
    (workspace / "tests/perf/reports").mkdir()
    (workspace / "tests/perf/reports/kept.md").write_text("mine")
    (workspace / "tests/perf/reports/made.md").write_text("made")
    subprocess.run([git, "add", "-f", "tests/perf/reports/kept.md"], cwd=workspace, check=True)
    (workspace / "outside").mkdir()
    (workspace / "outside/precious").write_text("")
    (workspace / "tests/perf/reports/linked").symlink_to(workspace / "outside")
    kept = events(sandbox)
    assert kept > 0

    dry = command("cleanup", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    for app in CLEANED:
        line = f"{app}: DELETE {sandbox.urls[app]}/test-data?namespace=perf_test, a token of a1"
        assert line in dry.stdout.splitlines()
    assert "would remove tests/perf/scripts (2 files)" in dry.stdout
    assert "would remove tests/perf/k6 (13 files)" in dry.stdout
    assert "would remove tests/perf/playwright (13 files)" in dry.stdout
    assert "stays: tests/perf/reports/linked (a link)" in dry.stdout
    assert events(sandbox) >= kept
    assert command("export", "--check").returncode == 0

    done = command("cleanup")
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [line for line in done.stdout.splitlines() if line.partition(": ")[2].startswith("200 ")]
    assert [line.partition(":")[0] for line in answers] == CLEANED
    assert all('{"deleted":{' in line for line in answers)
    assert not any(secret in done.stdout + done.stderr for secret in sandbox.secrets.values())
    eventually(lambda: events(sandbox), 0)
    assert sorted(p.relative_to(workspace / "tests/perf").as_posix() for p in files(workspace)) == [
        "config/data.jsonl",
        "reports/kept.md",
    ]
    assert (workspace / "outside/precious").exists()
    assert len(list((workspace / "runs").iterdir())) == 4

    again = command("cleanup")
    assert again.returncode == 0
    assert '"events":0' in again.stdout


def files(workspace: Path) -> list[Path]:
    return [p for p in (workspace / "tests/perf").rglob("*") if p.is_file() and not p.is_symlink()]


class Echo(Recorder):
    """Answers with what it was told in `X-Key`."""

    def reply(self, arrival: Arrival) -> bytes:
        body = b'{"you_said":"' + arrival.headers["x-key"].encode() + b'"}'
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_a_request_goes_to_the_pinned_address_and_an_echo_of_a_secret_is_not_shown(
    workspace: Path, command: Command
) -> None:
    with Echo() as server:
        port = urlsplit(server.url).port
        (workspace / "key").write_text("hush-hush\n")
        (workspace / "targets.yaml").write_text(
            f"""apps:
  a2:
    base_url: http://a2.invalid:{port}
    resolve: [127.0.0.1]
    environment: staging
    writes: perf_test
    headers: {{X-Key: "${{secret.KEY}}"}}
    secrets: {{KEY: {{file: key}}}}
    routes: {{wipe: {{post: /wipe, effect: write, namespace: {{in: json, at: meta.space}}}}}}
    cleanup: wipe
"""
        )
        shutil.rmtree(workspace / "scenarios")
        dry = command("cleanup", "--dry-run")
        assert server.arrivals == []
        done = command("cleanup")
    assert dry.stdout.splitlines() == [
        f'a2: POST http://a2.invalid:{port}/wipe, body {{"meta":{{"space":"perf_test"}}}}, header X-Key'
    ]
    assert done.stdout.splitlines() == ["a2: 200 (not shown: the answer holds a secret)"]
    assert done.returncode == 0
    (arrival,) = server.arrivals
    assert (arrival.method, arrival.path, arrival.body) == (
        "POST",
        "/wipe",
        b'{"meta":{"space":"perf_test"}}',
    )
    assert arrival.headers["host"] == f"a2.invalid:{port}"
    assert arrival.headers["x-key"] == "hush-hush"
    assert arrival.headers["x-ecoload-probe"] == "1"


def test_only_the_apps_that_are_named_are_cleaned(
    sandbox: Sandbox, workspace: Path, command: Command
) -> None:
    assert command("export").returncode == 0
    put_load_on(sandbox, workspace, "a2")
    kept = events(sandbox)
    done = command("cleanup", "--apps", "a8,a3")
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:2]] == ["a8", "a3"]
    assert events(sandbox) >= kept


def test_an_app_that_fails_is_told_and_the_others_are_still_cleaned(
    sandbox: Sandbox, workspace: Path, command: Command
) -> None:
    assert command("export").returncode == 0
    put_load_on(sandbox, workspace, "a2")
    done = command("cleanup", "--base-url", "a5=http://127.0.0.1:9")
    assert done.returncode == 99, done.stdout + done.stderr
    assert "a5: failed: a5: DELETE /test-data?namespace=perf_test failed:" in done.stdout
    eventually(lambda: events(sandbox), 0)
    assert not (workspace / "tests/perf/scripts").exists()


def test_a_refusal_of_an_app_is_shown_with_its_reason(
    sandbox: Sandbox, workspace: Path, command: Command
) -> None:
    assert command("export").returncode == 0
    file = workspace / "targets.yaml"
    file.write_text(file.read_text().replace("        scope: a6\n", "        scope: a5\n"))
    done = command("cleanup", "--apps", "a6")
    assert done.returncode == 99
    assert 'a6: failed: 403 {"type":' in done.stdout


def test_no_token_and_no_answer_is_six(workspace: Path, command: Command) -> None:
    assert command("export").returncode == 0
    done = command("cleanup", "--apps", "a2,a3", A1_CLIENT_SECRET="wrong")
    assert done.returncode == 6
    assert "a2: failed: there is no token for a2" in done.stdout
    assert "wrong" not in done.stdout + done.stderr


def test_production_is_refused_before_anything_is_sent_or_removed(
    sandbox: Sandbox, workspace: Path, command: Command
) -> None:
    assert command("export").returncode == 0
    put_load_on(sandbox, workspace, "a2")
    kept = events(sandbox)
    file = workspace / "targets.yaml"
    a1, a2 = file.read_text().split("  a2: #")
    file.write_text(a1.replace("    environment: staging\n", "") + "  a2: #" + a2)
    done = command("cleanup")
    assert done.returncode == 7
    refused = [line.partition(" is production")[0] for line in done.stderr.splitlines()]
    assert [line.split()[-2] for line in refused] == ["a1"] * len(CLEANED), (
        "each app that is refused is named"
    )
    assert events(sandbox) >= kept
    assert (workspace / "tests/perf/scripts/cleanup.sh").exists()


def test_a_target_under_load_is_not_cleaned(sandbox: Sandbox, workspace: Path, command: Command) -> None:
    assert command("export").returncode == 0
    loaded = make_cleanup(
        load_workspace(workspace / "targets.yaml", environ={}), "a3", base_urls=sandbox.urls
    )
    with locked(loaded, "runs/somebodys"):
        done = command("cleanup")
    assert done.returncode == 7
    port = urlsplit(sandbox.urls["a3"]).port
    assert f"127.0.0.1:{port} is under load from another run: runs/somebodys" in done.stderr
    assert "200" not in done.stdout
    assert (workspace / "tests/perf/scripts/cleanup.sh").exists()


def test_an_embedded_sandbox_has_nothing_to_clean(workspace: Path, command: Command) -> None:
    assert command("export").returncode == 0
    done = command("cleanup", **{f"{app.upper()}_URL": "" for app in APPS})
    assert done.returncode == 0
    assert "a2: is the embedded sandbox, whose data ends with its command" in done.stdout
    assert not (workspace / "tests/perf/scripts").exists()
