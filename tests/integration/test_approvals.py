"""Approvals, for real: ssh-keygen signs and checks, git keeps and tells, and a target records what comes."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
import yaml

from ecoload.cli.commands import ecoload
from ecoload.errors import ApprovalNeeded, GuardRefused, ToolMissing, UsageError
from ecoload.guard.asking import consume, kept, record
from ecoload.guard.authors import authors_of
from ecoload.guard.grants import verify
from ecoload.guard.ledger import open_ledger
from ecoload.guard.signing import read_signers, sign, signing_key
from tests.integration.approving import (
    HASH,
    ROOT,
    RUN,
    SCENARIO,
    Place,
    commit,
    git,
    race,
    request_of,
    signers_line,
)
from tests.servers.recorder import Recorder


@pytest.fixture(autouse=True)
def tools(tool: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool("ssh-keygen")
    tool("git")
    # Nobody's own configuration has a say.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("XDG_CONFIG_HOME", "ECOLOAD_LEDGER", "ECOLOAD_ALLOWED_SIGNERS", "ECOLOAD_APPROVER_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def place(tmp_path: Path, recorder: Recorder) -> Place:
    return Place(tmp_path, recorder.url)


def refused(place: Place, **environ: str) -> str:
    with pytest.raises(ApprovalNeeded) as caught:
        consume(place.desk(**environ), HASH, "r1")
    return "; ".join(caught.value.refused)


# --- The whole way, by the commands ---------------------------------------------------------------


def test_nothing_is_sent_before_somebody_approves_this_very_plan_and_once(
    place: Place, recorder: Recorder
) -> None:
    asked = place.command(*RUN)
    assert asked.returncode == 3
    request = request_of(place.workspace)
    assert request["execution_hash"] in asked.stderr
    assert request["reasons"] == [f"one ({recorder.url}) is production"]
    assert request["authors"] == ["alice", "alice@example.com"]

    by = ("--by", "bob", "--reason", "the release of June")
    approved = place.command("approve", request["execution_hash"], *by)
    assert approved.returncode == 0, approved.stderr
    assert "GET /" in approved.stderr, "what is signed is shown"
    assert recorder.connections == 0

    done = place.command(*RUN, "--json")
    assert done.returncode in (0, 5), done.stderr
    result = json.loads(done.stdout)
    assert result["execution_hash"] == request["execution_hash"]
    assert any("approved by bob: the release of June" in note for note in result["notes"])
    assert recorder.paths() == ["/"] * 3
    folder = place.workspace / result["folder"]
    verify(kept(folder), request["execution_hash"], folder.name, read_signers(place.environ, place.workspace))

    again = place.command(*RUN)
    assert again.returncode == 3
    assert f"taken, the last by run {folder.name}" in again.stderr
    assert len(recorder.arrivals) == 3


def test_the_plan_that_is_shown_has_the_hash_that_is_asked_for(place: Place, recorder: Recorder) -> None:
    # A name, so that the addresses it leads to are part of what is signed.
    url = f"http://localhost:{recorder.port}"
    shown = json.loads(
        place.command("plan", "one", "--profile", "once", "--json", "--base-url", f"one={url}").stdout
    )
    assert shown["origins"][0]["addresses"]
    assert place.command(*RUN, "--base-url", f"one={url}").returncode == 3
    request = request_of(place.workspace)
    assert request["execution_hash"] == shown["execution_hash"]
    assert request["again"].endswith(f"--base-url one={url}")
    assert place.command(*request["approve"].split()[1:3], "--by", "bob", "--reason", "x").returncode == 0
    assert place.command(*RUN, "--base-url", f"one={recorder.url}").returncode == 3, "another address"
    assert not recorder.arrivals


@pytest.mark.parametrize("change", ["scenario", "targets", "seed"])
def test_any_change_of_the_plan_needs_another_approval(place: Place, recorder: Recorder, change: str) -> None:
    place.command(*RUN)
    place.command("approve", request_of(place.workspace)["execution_hash"], "--by", "bob", "--reason", "x")
    shutil.rmtree(place.workspace / "runs")
    file = place.workspace / {"targets": "targets.yaml"}.get(change, "scenarios/one.yaml")
    if change != "seed":
        file.write_text(
            file.read_text().replace("iterations: 3", "iterations: 4").replace("home}]", "home, think: 1ms}]")
        )
        commit(place.workspace)
    done = place.command(*RUN, *(("--seed", "2") if change == "seed" else ()))
    assert done.returncode == 3
    assert request_of(place.workspace)["refused"] == []
    assert not recorder.arrivals


def test_an_approval_that_has_expired_is_refused(place: Place, recorder: Recorder) -> None:
    place.command(*RUN)
    execution_hash = request_of(place.workspace)["execution_hash"]
    approved = place.command("approve", execution_hash, "--by", "bob", "--reason", "x", "--expires", "1s")
    assert approved.returncode == 0, approved.stderr
    time.sleep(1.1)
    done = place.command(*RUN)
    assert done.returncode == 3
    assert "it expired at" in done.stderr
    assert not recorder.arrivals


def test_a_nightly_approval_holds_for_some_runs(place: Place, recorder: Recorder) -> None:
    place.command(*RUN)
    execution_hash = request_of(place.workspace)["execution_hash"]
    terms = ("--by", "bob", "--reason", "nightly", "--expires", "14d", "--uses", "10", "--window", "20h")
    approved = place.command("approve", execution_hash, *terms)
    assert "10 uses, one in each 20h" in approved.stderr
    assert place.command(*RUN).returncode in (0, 5)
    done = place.command(*RUN)
    assert done.returncode == 3
    assert "the use of this window is taken" in done.stderr
    assert len(recorder.arrivals) == 3


def test_a_signer_nobody_knows_is_refused(place: Place, recorder: Recorder) -> None:
    place.command(*RUN)
    execution_hash = request_of(place.workspace)["execution_hash"]
    for by, key in (("eve", "eve"), ("bob", "eve"), ("eve", "bob")):
        told = ("--by", by, "--reason", "x", "--key", str(place.keys[key]))
        done = place.command("approve", execution_hash, *told)
        assert done.returncode == 7
        assert "does not know its key as" in done.stderr
    assert not (place.root / "ledger").exists()
    # An approval that comes into the ledger another way is held against the signers too.
    signed = place.signed("eve", execution_hash=execution_hash)
    tree = {"kind": "approved", "approval": signed.approval.to_tree(), "signature": signed.signature}
    open_ledger(place.environ, place.workspace).append(lambda _: tree)
    done = place.command(*RUN)
    assert done.returncode == 3
    assert "does not know its key as eve's" in done.stderr
    assert not recorder.arrivals


def test_what_makes_no_sense_to_approve_is_an_error_of_the_command(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.workspace)
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    named = ("--by", "bob", "--reason", "x")
    for arguments, said in (
        (("abc", *named), "64 hexadecimal digits"),
        ((HASH, "--by", "bob", "--reason", " "), "reason"),
        ((HASH, "--by", "a\nb", "--reason", "x"), "control characters"),
        ((HASH, *named, "--uses", "3"), "--uses needs --expires"),
        ((HASH, *named, "--window", "20h"), "needs --uses"),
        ((HASH, *named, "--expires", "soon"), "--expires"),
        ((HASH, *named, "--expires", "10ms"), "whole seconds"),
        ((HASH, *named, "--key", "nowhere"), "there is no key"),
    ):
        with pytest.raises(UsageError, match=said):
            ecoload.main(["approve", *arguments], standalone_mode=False)
    with pytest.raises(click.UsageError, match="reason"):
        ecoload.main(["approve", HASH, "--by", "bob"], standalone_mode=False)
    monkeypatch.delenv("ECOLOAD_ALLOWED_SIGNERS")
    with pytest.raises(UsageError, match="ECOLOAD_ALLOWED_SIGNERS is not set"):
        ecoload.main(["approve", HASH, *named], standalone_mode=False)
    assert not (place.root / "ledger").exists()


def test_a_hash_without_a_request_is_signed_alone_and_said_so(place: Place) -> None:
    done = place.command("approve", HASH, "--by", "bob", "--reason", "x")
    assert done.returncode == 0
    assert "the hash alone is signed" in done.stderr


def test_a_request_that_shows_another_plan_is_not_signed(place: Place) -> None:
    place.command(*RUN)
    (path,) = place.workspace.glob("runs/*/plan.json")
    path.write_bytes(path.read_bytes().replace(b'"iterations": 3', b'"iterations": 2'))
    execution_hash = request_of(place.workspace)["execution_hash"]
    done = place.command("approve", execution_hash, "--by", "bob", "--reason", "x")
    assert done.returncode == 7
    assert "is not the plan of that hash" in done.stderr
    assert not (place.root / "ledger").exists()


def test_a_port_of_loopback_is_not_the_embedded_sandbox(place: Place, recorder: Recorder) -> None:
    done = place.command(*RUN, "--approve-as", "Robin")
    assert done.returncode == 3
    assert "--approve-as is for the sandbox that this command starts" in done.stderr
    assert not recorder.arrivals


# --- At a terminal --------------------------------------------------------------------------------


def at_terminal(place: Place, *answers: str | None) -> tuple[int, str]:
    """A run with a terminal for input and errors; an answer for each question, None is a Ctrl-C."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "ecoload", *RUN],
        cwd=place.workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | place.environ,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    asked, text = list(zip(answers, ("Who approves", "Why"), strict=False)), ""
    pressed = False
    try:
        while True:
            if asked and asked[0][1] in text:
                answer, _ = asked.pop(0)
                pressed = answer is None
                if answer is None:
                    child.send_signal(signal.SIGINT)
                else:
                    os.write(ours, f"{answer}\n".encode())
            if select.select([ours], [], [], 3)[0]:
                text += os.read(ours, 65536).decode(errors="replace")
            elif pressed:
                # One that comes just before the reading begins is heard after it: press again.
                child.send_signal(signal.SIGINT)
    except OSError:
        return child.wait(timeout=30), text  # the terminal is closed when its last user ends
    finally:
        os.close(ours)
        child.kill()
        child.wait()


def test_whoever_sits_at_the_terminal_is_shown_the_plan_and_signs(place: Place, recorder: Recorder) -> None:
    code, text = at_terminal(place, "bob", "it is quiet now")
    assert code in (0, 5), text
    assert f"one ({recorder.url}) is production" in text
    assert len(recorder.arrivals) == 3
    entries = open_ledger(place.environ, place.workspace).entries()
    assert [entry.kind for entry in entries] == ["approved", "used"]
    assert entries[0].tree["approval"]["reason"] == "it is quiet now"


@pytest.mark.parametrize(
    ("answers", "ends", "said"),
    [
        (("",), 3, "approval_request.json"),
        (("eve", "x"), 3, "does not know its key"),
        (("alice@example.com", "x"), 3, "does not know its key"),
        (("bob", ""), 2, "reason"),
        ((None,), 130, "interrupted"),
    ],
)
def test_who_does_not_approve_at_the_terminal_sends_nothing(
    place: Place, recorder: Recorder, answers: tuple[str | None, ...], ends: int, said: str
) -> None:
    code, text = at_terminal(place, *answers)
    assert (code, said in text) == (ends, True), text
    assert not recorder.arrivals
    assert not (place.root / "ledger").exists()


# --- Who made the change --------------------------------------------------------------------------


def test_the_author_of_the_change_is_not_its_approver(place: Place) -> None:
    desk = place.desk()
    with pytest.raises(ApprovalNeeded) as caught:
        record(desk, place.signed("alice@example.com"))
    assert "alice@example.com is an author of the change" in caught.value.refused[0]
    # Somebody else's change on top of it, and alice may.
    place.files[1].write_text(SCENARIO + "# more\n")
    commit(place.workspace, who="carol")
    record(desk, place.signed("alice@example.com"))
    assert consume(desk, HASH, "r1").author_known


def test_what_was_approved_by_another_and_then_changed_by_the_approver_is_refused(place: Place) -> None:
    place.approved(place.desk())
    place.files[1].write_text(SCENARIO + "# more\n")
    commit(place.workspace, who="bob")
    assert "bob is an author of the change" in refused(place)


def test_a_key_of_the_author_under_another_name_is_refused(place: Place) -> None:
    lines = [signers_line(who, place.keys["alice"]) for who in ("boss", "alice@example.com")]
    place.signers.write_text("".join(lines))
    with pytest.raises(ApprovalNeeded) as caught:
        record(place.desk(), place.signed("boss", "alice"))
    assert "its key may sign as alice@example.com, an author of the change" in caught.value.refused[0]
    place.signers.write_text(lines[0])
    record(place.desk(), place.signed("boss", "alice"))


def test_who_changed_a_file_and_has_not_committed_it_is_an_author(place: Place) -> None:
    def names() -> tuple[str, ...]:
        return authors_of(place.workspace, place.files, None).names

    git(place.workspace, "config", "user.name", "bob")
    git(place.workspace, "config", "user.email", "bob@example.org")
    assert names() == ("alice", "alice@example.com")
    (place.workspace / "beside.txt").write_text("not of the plan")
    assert "bob" not in names()
    place.files[0].write_text(place.files[0].read_text() + "# more\n")
    assert names() == ("alice", "alice@example.com", "bob", "bob@example.org")
    git(place.workspace, "checkout", "-q", "--", ".")
    (place.workspace / "ignored.bin").write_bytes(b"x")
    (place.workspace / ".gitignore").write_text("*.bin\n")
    ignored = authors_of(place.workspace, [*place.files, place.workspace / "ignored.bin"], None)
    assert "bob" in ignored.names


def test_without_git_the_author_is_not_known_and_the_grant_says_so(place: Place) -> None:
    shutil.rmtree(place.workspace / ".git")
    desk = place.desk()
    record(desk, place.signed("alice@example.com"))
    assert not consume(desk, HASH, "r1").author_known


def test_the_repository_of_a_hook_that_calls_has_no_say(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(place.root))
    assert authors_of(place.workspace, place.files, None).names == ("alice", "alice@example.com")


def test_a_file_outside_of_the_work_tree_leaves_its_author_unknown(place: Place) -> None:
    (place.root / "data.jsonl").write_text("")
    assert not authors_of(place.workspace, [*place.files, place.root / "data.jsonl"], None).known


def test_a_shallow_clone_is_refused(place: Place) -> None:
    commit(place.workspace, who="bob")
    git(place.root, "clone", "-q", "--depth", "1", f"file://{place.workspace}", "shallow")
    with pytest.raises(GuardRefused, match="fetch-depth: 0"):
        authors_of(place.root / "shallow", [], None)
    done = place.command(*RUN, cwd=place.root / "shallow")
    assert (done.returncode, "this clone is shallow" in done.stderr) == (7, True)


# --- Signers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["inside", "in the work tree", "by a link in", "by a link out"])
def test_signers_that_the_change_could_change_are_refused(
    place: Place, recorder: Recorder, where: str
) -> None:
    inside, outside = place.workspace / "signers", place.root / "link"
    workspace = place.workspace
    if where == "by a link out":
        inside.symlink_to(place.signers)
    else:
        inside.write_bytes(place.signers.read_bytes())
    if where == "by a link in":
        outside.symlink_to(inside)
    if where == "in the work tree":
        workspace = place.workspace / "deeper"
        workspace.mkdir()
        for name in ("targets.yaml", "scenarios"):
            (place.workspace / name).rename(workspace / name)
        commit(place.workspace)
    named = {"ECOLOAD_ALLOWED_SIGNERS": str(outside if where == "by a link in" else inside)}
    done = place.command(*RUN, cwd=workspace, environ=named)
    assert done.returncode == 7, done.stderr
    assert "the change that is approved could change it" in done.stderr
    assert not recorder.arrivals


def with_remote(place: Place) -> Path:
    """A bare remote of the workspace, whose main holds the signers too."""
    (place.workspace / "who").mkdir()
    (place.workspace / "who" / "signers").write_bytes(place.signers.read_bytes())
    commit(place.workspace)
    remote = place.root / "remote.git"
    git(place.root, "clone", "-q", "--bare", str(place.workspace), str(remote))
    git(place.workspace, "remote", "add", "origin", str(remote))
    git(place.workspace, "fetch", "-q", "origin")
    return remote


def test_signers_are_read_from_another_ref_than_the_one_that_is_checked_out(place: Place) -> None:
    with_remote(place)
    git(place.workspace, "tag", "v1")
    git(place.workspace, "checkout", "-q", "-b", "change")
    (place.workspace / "who" / "signers").write_text(signers_line("bob", place.keys["eve"]))
    commit(place.workspace, who="dave")
    for ref in ("origin/main", "main", "v1", "refs/remotes/origin/main"):
        desk = place.desk(ECOLOAD_ALLOWED_SIGNERS=f"git:{ref}:who/signers")
        assert desk.signers.content == place.signers.read_bytes()
        assert desk.authors().names == ("dave", "dave@example.com")
        record(desk, place.signed("bob"))
        with pytest.raises(ApprovalNeeded):
            record(desk, place.signed("bob", "eve"))


def test_everybody_who_made_the_change_since_the_signers_ref_is_an_author(place: Place) -> None:
    with_remote(place)
    named = {"ECOLOAD_ALLOWED_SIGNERS": "git:origin/main:who/signers"}
    assert place.desk(**named).authors().names == ("alice", "alice@example.com"), (
        "no change: who touched it last"
    )
    for who in ("carol", "dave"):
        commit(place.workspace, who=who)
    assert place.desk(**named).authors().names == ("dave", "dave@example.com", "carol", "carol@example.com")


@pytest.mark.parametrize(
    "ref",
    [*"HEAD @ main refs/heads/main link origin/HEAD main~1 main^{tree} @{u} COMMIT".split(),
     "nowhere", "--output=x", "refs/stash", "main..main", ""],
)  # fmt: skip
def test_what_is_checked_out_and_what_anybody_may_choose_names_no_signers(place: Place, ref: str) -> None:
    with_remote(place)
    git(place.workspace, "symbolic-ref", "refs/heads/link", "refs/heads/main")
    ref = git(place.workspace, "rev-parse", "HEAD") if ref == "COMMIT" else ref
    with pytest.raises(GuardRefused):
        read_signers({"ECOLOAD_ALLOWED_SIGNERS": f"git:{ref}:who/signers"}, place.workspace)


@pytest.mark.parametrize(
    "named",
    [
        "git:origin/main:nowhere",
        "git:origin/main:/etc/passwd",
        "git:origin/main:../x",
        "git:origin/main",
        "/nowhere",
    ],
)
def test_signers_that_are_not_there_are_an_error_of_the_environment(place: Place, named: str) -> None:
    with_remote(place)
    with pytest.raises(UsageError, match="ECOLOAD_ALLOWED_SIGNERS"):
        read_signers({"ECOLOAD_ALLOWED_SIGNERS": named}, place.workspace)


def test_a_ref_that_is_a_branch_and_a_tag_must_be_named_in_full(place: Place) -> None:
    with_remote(place)
    git(place.workspace, "branch", "both")
    git(place.workspace, "tag", "both")
    with pytest.raises(UsageError, match="refs/heads/both and refs/tags/both"):
        read_signers({"ECOLOAD_ALLOWED_SIGNERS": "git:both:who/signers"}, place.workspace)
    read_signers({"ECOLOAD_ALLOWED_SIGNERS": "git:refs/tags/both:who/signers"}, place.workspace)


# --- Keys -----------------------------------------------------------------------------------------


def test_the_key_is_the_one_that_is_named_first(place: Place) -> None:
    keys, here = place.keys, place.workspace
    environ = {"ECOLOAD_APPROVER_KEY": str(keys["bob"])}
    with pytest.raises(UsageError, match="no key to sign with"):
        signing_key(None, {}, here)
    git(here, "config", "user.signingkey", str(keys["alice"]))
    assert signing_key(None, {}, here) == str(keys["alice"])
    assert signing_key(None, environ, here) == str(keys["bob"])
    assert signing_key(keys["eve"], environ, here) == str(keys["eve"])
    git(here, "config", "user.signingkey", "0123ABCD")
    with pytest.raises(UsageError, match=r"gpg\.format is not ssh"):
        signing_key(None, {}, here)


def test_a_key_that_an_agent_holds_signs(
    place: Place, tool: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("ssh-agent")
    tool("ssh-add")
    socket = place.root / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        while not socket.exists():
            time.sleep(0.01)
        subprocess.run(["ssh-add", "-q", str(place.keys["bob"])], check=True)
        place.keys["bob"].unlink()
        public = place.keys["bob"].with_suffix(".pub")
        git(place.workspace, "config", "user.signingkey", public.read_text().strip())
        message = place.signed("bob", "alice").approval.message
        for key in (str(public), signing_key(None, {}, place.workspace)):
            assert place.desk().signers.refusal("bob", message, sign(message, key)) == ""
    finally:
        agent.terminate()
        agent.wait()


def test_a_key_that_does_not_sign_says_why(place: Place) -> None:
    place.keys["bob"].chmod(0o644)
    with pytest.raises(UsageError, match="UNPROTECTED"):
        sign(b"x", str(place.keys["bob"]))
    with pytest.raises(UsageError, match="the key does not sign"):
        sign(b"x", str(place.signers))


def test_a_signature_made_for_something_else_does_not_serve(place: Place) -> None:
    message = place.signed().approval.message
    command = ["ssh-keygen", "-Y", "sign", "-f", str(place.keys["bob"]), "-n", "file"]
    other = subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode()
    signers = place.desk().signers
    assert "does not fit" in signers.refusal("bob", message, other)
    assert signers.refusal("bob", message, sign(message, str(place.keys["bob"]))) == ""
    assert "does not fit" in signers.refusal("bob", message + b" ", sign(message, str(place.keys["bob"])))
    for name in ("BOB", "b*", "", "-f", "bob\n"):
        assert signers.refusal(name, message, sign(message, str(place.keys["bob"])))


def test_a_program_that_is_missing_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = place.signed()
    monkeypatch.setenv("PATH", str(place.root))
    with pytest.raises(ToolMissing, match="install OpenSSH"):
        sign(b"x", str(place.keys["bob"]))
    with pytest.raises(ToolMissing, match="install OpenSSH"):
        read_signers(place.environ, place.root / "elsewhere").refusal("bob", b"x", signed.signature)
    with pytest.raises(ToolMissing, match="git is not here"):
        place.desk()
    assert ToolMissing.exit_code == 2


# --- The ledger -----------------------------------------------------------------------------------


def test_two_processes_race_for_the_last_use_of_a_folder_and_one_wins(place: Place) -> None:
    place.approved(place.desk())
    said = race(place.environ, [place.workspace] * 4, place.root / "gate")
    assert said.count("won") == 1
    assert sum("its use is taken" in line for line in said) == 3


def test_two_processes_race_for_the_last_use_of_a_branch_and_one_wins(place: Place) -> None:
    environ = place.environ | {"ECOLOAD_LEDGER": "git:ledger"}
    place.approved(place.desk(**environ))
    said = race(environ, [place.workspace] * 4, place.root / "gate")
    assert said.count("won") == 1
    assert sum("its use is taken" in line for line in said) == 3
    assert git(place.workspace, "rev-list", "--count", "ledger") == "2"


def test_two_machines_race_for_the_last_use_of_a_remotes_branch_and_one_wins(place: Place) -> None:
    remote = with_remote(place)
    clones = [place.root / f"clone{n}" for n in range(3)]
    for clone in clones:
        git(place.root, "clone", "-q", str(remote), str(clone))
    environ = place.environ | {"ECOLOAD_LEDGER": "git:origin/perf/ledger"}
    place.approved(place.desk(**environ))
    said = race(environ, clones, place.root / "gate")
    assert said.count("won") == 1
    assert sum("its use is taken" in line for line in said) == 2
    assert git(remote, "rev-list", "--count", "perf/ledger") == "2"


@pytest.mark.parametrize("named", ["git:ledger", "git:origin/ledger"])
def test_who_loses_a_race_for_a_branch_looks_again_at_what_is_there(place: Place, named: str) -> None:
    with_remote(place)
    ledger = open_ledger({"ECOLOAD_LEDGER": named}, place.workspace)
    made = [place.signed() for _ in range(4)]
    trees = [{"kind": "approved", "approval": s.approval.to_tree(), "signature": s.signature} for s in made]
    looks = []

    def meanwhile(entries: tuple[object, ...]) -> dict[str, object]:
        looks.append(len(entries))
        if len(entries) in (0, 2):
            ledger.append(lambda _: trees[len(entries)])
        return trees[len(entries)]

    ledger.append(meanwhile)
    ledger.append(meanwhile)
    assert [entry.tree["approval"]["id"] for entry in ledger.entries()] == [s.approval.id for s in made]
    assert looks == [0, 1, 2, 3]


@pytest.mark.parametrize("named", ["git:ledger", "git:origin/ledger"])
def test_a_ledger_in_git_leaves_everything_else_as_it_is(place: Place, named: str) -> None:
    with_remote(place)
    (place.workspace / "new.txt").write_text("not committed")
    (place.workspace / "targets.yaml").write_text("changed")
    git(place.workspace, "add", "new.txt")

    def state() -> list[str]:
        seen = git(place.workspace, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        others = [line for line in seen if "/ledger " not in line]
        return [
            *others,
            git(place.workspace, "status", "--porcelain"),
            git(place.workspace, "rev-parse", "HEAD"),
        ]

    before = state()
    desk = place.desk(ECOLOAD_LEDGER=named)
    place.approved(desk)
    consume(desk, HASH, "r1")
    assert state() == before
    assert len(desk.ledger.entries()) == 2
    where = place.root / "remote.git" if "origin" in named else place.workspace
    assert "localhost" in git(where, "log", "--format=%ae %ce", "ledger")
    assert git(where, "ls-tree", "--name-only", "ledger").split() == ["head.json", "log.jsonl"]


def test_a_ledger_on_a_branch_that_is_something_else_is_refused(place: Place) -> None:
    with_remote(place)
    for named in ("git:main", "git:refs/heads/x", "git:a..b", "git:-x", "git:"):
        with pytest.raises((GuardRefused, UsageError)):
            open_ledger({"ECOLOAD_LEDGER": named}, place.workspace)
    git(place.workspace, "branch", "other")
    for named in ("git:other", "git:origin/main"):
        ledger = open_ledger({"ECOLOAD_LEDGER": named}, place.workspace)
        for use in (ledger.entries, lambda ledger=ledger: ledger.append(lambda _: {})):
            with pytest.raises(GuardRefused, match="holds something else than a ledger"):
                use()
    with pytest.raises(UsageError, match="no git work tree"):
        open_ledger({"ECOLOAD_LEDGER": "git:x"}, place.root)


def test_an_edited_branch_is_refused_with_its_line(place: Place, recorder: Recorder) -> None:
    desk = place.desk(ECOLOAD_LEDGER="git:ledger")
    for _ in range(2):
        place.approved(desk)
    git(place.workspace, "worktree", "add", "-q", str(place.root / "tree"), "ledger")
    log = place.root / "tree" / "log.jsonl"
    log.write_text(log.read_text().replace("because", "Because", 1))
    commit(place.root / "tree")
    git(place.workspace, "worktree", "remove", str(place.root / "tree"))
    done = place.command(*RUN, environ={"ECOLOAD_LEDGER": "git:ledger"})
    assert (done.returncode, "line 2 of log.jsonl" in done.stderr) == (7, True), done.stderr
    assert not recorder.arrivals


def test_an_edited_folder_stops_a_run(place: Place, recorder: Recorder) -> None:
    place.approved(place.desk())
    log = place.root / "ledger" / "log.jsonl"
    log.write_text(log.read_text().replace('"uses":1', '"uses":9'))
    done = place.command(*RUN)
    assert (done.returncode, "line 1 of log.jsonl" in done.stderr) == (7, True), done.stderr
    assert not recorder.arrivals


def test_a_remote_that_cannot_be_reached_or_refuses_stops_the_run(place: Place) -> None:
    remote = with_remote(place)
    desk = place.desk(ECOLOAD_LEDGER="git:origin/ledger")
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(
        GuardRefused, match=r"cannot be written: .*this branch is protected.* nothing is sent"
    ):
        place.approved(desk)
    git(place.workspace, "remote", "set-url", "origin", "https://user:secret@127.0.0.1:9/x.git")
    with pytest.raises(GuardRefused, match="cannot be read") as caught:
        desk.ledger.entries()
    assert "secret" not in str(caught.value)


# --- From machine to machine ----------------------------------------------------------------------


def test_runners_that_keep_nothing_ask_approve_and_run_through_a_branch(
    place: Place, recorder: Recorder
) -> None:
    remote = with_remote(place)
    git(place.workspace, "push", "-q", "origin", "HEAD:refs/heads/change")
    environ = {
        "ECOLOAD_LEDGER": "git:origin/ledger",
        "ECOLOAD_ALLOWED_SIGNERS": "git:origin/main:who/signers",
    }

    def runner(name: str, branch: str = "change") -> Path:
        git(place.root, "clone", "-q", "--branch", branch, str(remote), str(place.root / name))
        return place.root / name

    asks = runner("asks")
    assert place.command(*RUN, cwd=asks, environ=environ).returncode == 3
    request = request_of(asks)
    approves = runner("approves", "main")
    shutil.copytree(asks / "runs", approves / "runs")
    own = environ | {"ECOLOAD_ALLOWED_SIGNERS": "git:origin/change:who/signers"}
    done = place.command(
        "approve", request["execution_hash"], "--by", "bob", "--reason", "x", cwd=approves, environ=own
    )
    assert done.returncode == 0, done.stderr
    assert not recorder.arrivals
    done = place.command(*RUN, "--json", cwd=runner("runs"), environ=environ)
    assert done.returncode in (0, 5), done.stderr
    assert len(recorder.arrivals) == 3
    assert place.command(*RUN, cwd=runner("runs again"), environ=environ).returncode == 3
    assert len(recorder.arrivals) == 3
    # The folder alone, on a machine without the ledger, is enough to check the grant again.
    result = json.loads(done.stdout)
    folder = shutil.copytree(place.root / "runs" / result["folder"], place.root / "moved")
    grant = kept(folder)
    signers = read_signers({"ECOLOAD_ALLOWED_SIGNERS": str(place.signers)}, place.workspace)
    verify(grant, request["execution_hash"], result["run_id"], signers)
    assert grant.author_known
    assert datetime.fromisoformat(grant.used["at"]) - datetime.now(UTC) < timedelta(minutes=1)


def test_the_workflow_in_the_docs_does_what_it_says(place: Place, recorder: Recorder) -> None:
    page = (ROOT / "docs" / "approvals.md").read_text()
    workflow = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    (place.workspace / ".github").mkdir()
    public = signers_line("performance-approval", place.keys["bob"])
    (place.workspace / ".github" / "allowed_signers").write_text(public)
    remote = with_remote(place)
    git(place.workspace, "checkout", "-q", "-b", "change")
    place.files[1].write_text("app: one\nsteps: [{route: home, think: 1ms}]\n")
    commit(place.workspace, who="dave")
    git(place.workspace, "push", "-q", "origin", "change")
    (place.root / "ecoload").write_text(f'#!/bin/sh\nexec {sys.executable} -m ecoload "$@"\n')
    (place.root / "ecoload").chmod(0o755)
    secrets = {"KEY": place.keys["bob"].read_text().strip(), "A1_CLIENT_SECRET": "x"}
    sent = {}
    for name, job in workflow["jobs"].items():
        folder = place.root / name
        assert job["steps"][0]["with"]["fetch-depth"] == 0
        branch = "change" if "ref" in job["steps"][0]["with"] else "main"
        git(place.root, "clone", "-q", "--branch", branch, str(remote), str(folder))
        for step in job["steps"]:
            if "download-artifact" in step.get("uses", ""):
                shutil.copytree(place.root / "ask" / "runs", folder / "runs")
            if "run" not in step or step["run"].startswith("pip "):
                continue
            own = {key: secrets[key] for key in step["env"] if key in secrets}
            github = (
                "GITHUB_OUTPUT",
                "GITHUB_STEP_SUMMARY",
                "GITHUB_SERVER_URL",
                "GITHUB_REPOSITORY",
                "GITHUB_RUN_ID",
            )
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=folder,
                env={
                    "PATH": f"{place.root}:{os.environ['PATH']}",
                    "HOME": str(place.root),
                    "PYTHONPATH": str(ROOT),
                }
                | workflow["env"]
                | {name: str(place.root / name) for name in (*github, "RUNNER_TEMP")}
                | {"RUNNER_TEMP": str(place.root), "TEST": " ".join(RUN), "HASH": secrets.get("HASH", "")}
                | own,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode in ((0,) if name != "run" else (0, 5)), done.stderr
        sent[name] = len(recorder.arrivals)
        if name == "ask":
            said = dict(line.split("=") for line in (place.root / "GITHUB_OUTPUT").read_text().splitlines())
            assert said["needed"] == "true"
            secrets["HASH"] = said["hash"]
            assert said["hash"] in (place.root / "GITHUB_STEP_SUMMARY").read_text()
    assert sent == {"ask": 0, "approve": 0, "run": 3}
