"""k6 as a child, played by small programs: how it is found, what it gets, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoload.engine import child
from ecoload.engine.interrupts import Interrupts
from ecoload.engine.k6 import K6, K6Failed, K6Job, find_k6, run_k6
from ecoload.errors import ToolMissing

Program = Callable[..., K6]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """`program("exit 99")`: a k6 that does this when it is asked to run."""

    def make(body: str, *, version: str = "k6 v1.8.1 (go1.26.8, linux/amd64)", name: str = "k6") -> K6:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nif [ "$1" = version ]; then echo "{version}"; exit; fi\n{body}\n')
        path.chmod(0o755)
        return K6(path, version)

    return make


def job(tmp_path: Path, most_s: float = 20.0, **environment: str) -> K6Job:
    own = {"PATH": os.environ["PATH"], **environment}
    return K6Job(tmp_path / "script.js", tmp_path / "options.json", tmp_path, own, ["sesame"], most_s)


# --- finding it -----------------------------------------------------------------------------------


def test_that_of_the_workspace_comes_first_then_the_path(tmp_path: Path, program: Program) -> None:
    on_path = program("", name="bin/k6").path
    environ = {"PATH": str(on_path.parent)}
    assert find_k6(tmp_path, environ).path == on_path
    ours = program("", name=".tools/bin/k6", version="k6 v2.2.0 (go1.27)").path
    assert (find_k6(tmp_path, environ).path, find_k6(tmp_path, environ).version) == (ours, "v2.2.0 (go1.27)")


def test_where_there_is_none_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="make tools") as caught:
        find_k6(tmp_path, {"PATH": str(tmp_path)})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("version", ["k6 v0.57.0 (go1.23)", "another program", ""])
def test_one_that_is_too_old_or_another_program_is_refused(
    tmp_path: Path, program: Program, version: str
) -> None:
    program("", name="bin/k6", version=version)
    with pytest.raises(ToolMissing, match=r"k6 1\.0 or later is needed"):
        find_k6(tmp_path, {"PATH": str(tmp_path / "bin")})


def test_an_old_one_in_the_workspace_does_not_hide_a_newer_one(tmp_path: Path, program: Program) -> None:
    program("", name=".tools/bin/k6", version="k6 v0.40.0")
    newer = program("", name="bin/k6").path
    assert find_k6(tmp_path, {"PATH": str(newer.parent)}).path == newer


# --- running it -----------------------------------------------------------------------------------


def test_it_gets_the_environment_that_is_handed_in_and_no_other(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K6_VUS", "9")
    monkeypatch.setenv("HTTPS_PROXY", "http://other")
    ended = run_k6(program('env; echo "$@"'), job(tmp_path, A2_URL="http://a2"), Interrupts())
    names = {line.partition("=")[0] for line in ended.lines if "=" in line}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"} == {"PATH", "A2_URL"}
    assert any("--config" in line and "--no-usage-report" in line for line in ended.lines)


@pytest.mark.parametrize("code", [0, 99])
def test_thresholds_that_failed_are_none_of_ours(tmp_path: Path, program: Program, code: int) -> None:
    ended = run_k6(program(f"exit {code}"), job(tmp_path), Interrupts())
    assert not ended.interrupted


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(104, "does not take the script's options"), (107, "threw an exception"), (1, "see its lines")],
)
def test_any_other_end_is_named_with_its_last_lines(
    tmp_path: Path, program: Program, code: int, meaning: str
) -> None:
    with pytest.raises(K6Failed, match=f"ended with {code} .*{meaning}") as caught:
        run_k6(program(f"echo no such; echo host sesame >&2; exit {code}"), job(tmp_path), Interrupts())
    assert "no such" in str(caught.value)
    assert "host (hidden)" in str(caught.value), "a secret is not told"
    assert caught.value.exit_code == 70


def test_a_threshold_that_ended_the_test_is_told_from_one_that_failed_at_its_end(
    tmp_path: Path, program: Program
) -> None:
    said = "thresholds on metrics 'errors' were crossed"
    stops = f'echo "{said}; at least one has abortOnFail enabled, stopping test prematurely"; exit 99'
    assert said in run_k6(program(stops), job(tmp_path), Interrupts()).aborted
    assert not run_k6(program(f'echo "{said}"; exit 99'), job(tmp_path), Interrupts()).aborted


def test_a_line_without_end_is_not_kept_whole(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LONGEST_LINE", 1000)
    # The secret lies across the place where the line is cut.
    endless = program(
        "head -c 997 /dev/zero | tr '\\0' x; printf sesame; head -c 99999 /dev/zero; echo; echo end"
    )
    first, second = run_k6(endless, job(tmp_path), Interrupts()).lines
    assert (first.strip("x"), second) == ("", "end")
    assert 900 < len(first) <= 1000


def test_one_that_never_ends_is_ended_and_named(tmp_path: Path, program: Program) -> None:
    with pytest.raises(K6Failed, match="still running after 1 s"):
        run_k6(program("echo $$ > pid; exec sleep 60"), job(tmp_path, most_s=1.0), Interrupts())
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_one_that_does_not_listen_is_killed(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "GRACE_S", 0.2)
    deaf = program("trap '' INT; echo $$ > pid; while :; do sleep 0.1; done")
    with pytest.raises(K6Failed, match="still running"):
        run_k6(deaf, job(tmp_path, most_s=1.0), Interrupts())
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_reaches_it_and_it_is_awaited(tmp_path: Path, program: Program, presses: int) -> None:
    heard = Interrupts()
    listens = "trap 'echo told; exit 105' INT;" if presses == 1 else "trap '' INT;"
    k6 = program(f"{listens} echo $$ > pid; while :; do sleep 0.05; done")

    def press() -> None:
        wait_for(lambda: has_begun(tmp_path))
        for _ in range(presses):
            heard.pressed(signal.SIGINT)

    hand = threading.Thread(target=press)
    hand.start()
    ended = run_k6(k6, job(tmp_path), heard)
    hand.join()
    assert ended.interrupted
    assert ("told" in ended.lines) is (presses == 1)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_ctrl_c_reaches_a_k6_that_a_wrapper_waits_for(tmp_path: Path, program: Program) -> None:
    heard = Interrupts()
    inner = "trap 'echo told; exit 105' INT; echo $$ > pid; while :; do sleep 0.05; done"
    wrapper = program(f'sh -c "{inner.replace("$", chr(92) + "$")}"; true')

    def press() -> None:
        wait_for(lambda: has_begun(tmp_path))
        heard.pressed(signal.SIGINT)

    hand = threading.Thread(target=press)
    hand.start()
    ended = run_k6(wrapper, job(tmp_path), heard)
    hand.join()
    assert "told" in ended.lines
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it only on Linux")
def test_it_does_not_outlive_us(tmp_path: Path, program: Program) -> None:
    k6 = program("echo $$ > pid; exec sleep 60")
    code = (
        "import sys; from pathlib import Path;"
        "from ecoload.engine.interrupts import Interrupts; from ecoload.engine.k6 import K6, K6Job, run_k6;"
        f"here = Path({str(tmp_path)!r});"
        "job = K6Job(here, here, here, {'PATH': '/bin:/usr/bin'}, [], 60);"
        f"run_k6(K6(Path({str(k6.path)!r}), ''), job, Interrupts())"
    )
    us = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: has_begun(tmp_path))
    us.kill()
    us.wait()
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_alive(pid))


def has_begun(folder: Path) -> bool:
    """Whether a program has written its process id: the file is there before it is."""
    path = folder / "pid"
    return path.exists() and path.read_text().strip() != ""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(what: Callable[[], bool], most_s: float = 10.0) -> None:
    deadline = time.monotonic() + most_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
