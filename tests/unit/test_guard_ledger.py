"""The ledger: a chain in which every edit is found, and a folder in which two never take the same use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.errors import GuardRefused
from ecoload.guard.ledger import FIRST, FolderLedger, head_of, next_line, open_ledger, read_log

AT = "2026-01-01T00:00:00+00:00"
APPROVED = {"kind": "approved", "approval": {"execution_hash": "a" * 64}, "signature": "s"}
USED = {"kind": "used", "approval": "b" * 32, "execution_hash": "a" * 64, "run": "r1", "at": AT}


def log_of(*contents: Mapping[str, Any]) -> bytes:
    log = b""
    for content in contents:
        log += next_line(log, content)
    return log


LOG = log_of(APPROVED, USED, APPROVED, USED)
SEAL = head_of(LOG)
LINES = LOG.splitlines(keepends=True)


def refused(log: bytes, head: bytes = SEAL) -> str:
    with pytest.raises(GuardRefused) as caught:
        read_log(log, head, "here")
    assert caught.value.exit_code == 7
    return str(caught.value)


# --- The chain ------------------------------------------------------------------------------------


def test_a_log_is_read_as_it_was_written() -> None:
    entries = read_log(LOG, SEAL, "here")
    assert [(entry.line, entry.kind) for entry in entries] == [
        (1, "approved"),
        (2, "used"),
        (3, "approved"),
        (4, "used"),
    ]
    assert entries[0].tree["previous"] == FIRST
    assert len({entry.tree["id"] for entry in entries}) == 4, "no two entries are alike"
    assert read_log(b"", b"", "here") == ()


@given(position=st.integers(0, len(LOG) - 1), byte=st.integers(0, 255))
def test_any_edit_of_any_byte_is_found(position: int, byte: int) -> None:
    edited = LOG[:position] + bytes([byte]) + LOG[position + 1 :]
    if edited == LOG:
        assert len(read_log(edited, SEAL, "here")) == 4
    else:
        assert "line " in refused(edited)


@given(start=st.integers(0, len(LOG)), length=st.integers(1, len(LOG)))
def test_any_piece_that_is_taken_out_is_found(start: int, length: int) -> None:
    edited = LOG[:start] + LOG[start + length :]
    if edited != LOG:
        refused(edited)


@given(st.lists(st.sampled_from(LINES), max_size=6))
def test_only_the_lines_as_they_were_make_the_log(lines: list[bytes]) -> None:
    if lines == LINES:
        read_log(b"".join(lines), SEAL, "here")
    else:
        refused(b"".join(lines))


def test_the_refusal_names_the_line() -> None:
    assert "line 3 of log.jsonl does not follow line 2" in refused(
        b"".join([LINES[0], LINES[1].replace(b"r1", b"r2"), *LINES[2:]])
    )
    assert "line 4 of log.jsonl is cut off" in refused(LOG[:-1])
    assert "line 4 of log.jsonl is not as head.json has it" in refused(LOG.replace(LINES[3], b""))
    assert "line 2 of log.jsonl is no entry" in refused(b"".join([LINES[0], b"{}\n", *LINES[2:]]))


def test_the_last_line_edited_is_found_though_no_line_follows_it() -> None:
    assert "line 4" in refused(b"".join([*LINES[:3], LINES[3].replace(b"r1", b"r2")]))


def test_a_log_whose_seal_is_gone_or_another_is_refused() -> None:
    for head in (b"", b"{}", b"x", head_of(b"".join(LINES[:2])), head_of(log_of(USED))):
        assert "not whole" in refused(LOG, head)
    assert "not whole" in refused(b"", SEAL)


def test_a_line_that_its_writer_could_not_seal_any_more_counts() -> None:
    assert len(read_log(LOG, head_of(b"".join(LINES[:3])), "here")) == 4


@pytest.mark.parametrize(
    "content",
    [
        {**USED, "at": "yesterday"},
        {**USED, "at": "2026-01-01T00:00:00"},
        {**USED, "run": "\x1b[2J"},
        {**USED, "run": 7},
        {**USED, "more": "x"},
        {**APPROVED, "approval": "x"},
        {**APPROVED, "signature": None},
        {**APPROVED, "kind": "other"},
        {k: v for k, v in USED.items() if k != "run"},
    ],
)
def test_a_line_that_is_no_entry_is_refused_though_the_chain_holds(content: dict[str, Any]) -> None:
    log = log_of(content)
    assert "line 1 of log.jsonl is no entry" in refused(log, head_of(log))


# --- The folder -----------------------------------------------------------------------------------


def test_a_folder_is_made_with_the_first_entry_and_closed_to_others(tmp_path: Path) -> None:
    ledger = FolderLedger(tmp_path / "state" / "ledger")
    assert ledger.entries() == ()

    def never(_: Any) -> dict[str, Any]:
        raise KeyError

    with pytest.raises(KeyError):
        ledger.append(never)
    assert not ledger.folder.parent.exists()
    assert ledger.append(lambda _: APPROVED).line == 1
    assert ledger.append(lambda _: USED).tree["run"] == "r1"
    assert [entry.kind for entry in ledger.entries()] == ["approved", "used"]
    assert ledger.folder.stat().st_mode & 0o777 == 0o700


def test_what_is_appended_is_a_function_of_what_is_there(tmp_path: Path) -> None:
    ledger = FolderLedger(tmp_path)
    for count in range(5):
        ledger.append(lambda entries, count=count: {**USED, "run": f"r{len(entries)}-{count}"})
    assert [entry.tree["run"] for entry in ledger.entries()] == ["r0-0", "r1-1", "r2-2", "r3-3", "r4-4"]


def test_an_edited_folder_is_neither_read_nor_written(tmp_path: Path) -> None:
    ledger = FolderLedger(tmp_path)
    for _ in range(3):
        ledger.append(lambda _: USED)
    log = tmp_path / "log.jsonl"
    whole = log.read_bytes()
    for edited in (whole.replace(b"r1", b"r2", 1), whole[: whole.rindex(b"{")], whole[:-5], b""):
        log.write_bytes(edited)
        with pytest.raises(GuardRefused, match=r"line \d"):
            ledger.entries()
        with pytest.raises(GuardRefused, match=r"line \d"):
            ledger.append(lambda _: USED)
        assert log.read_bytes() == edited
    log.write_bytes(whole)
    assert len(ledger.entries()) == 3


def test_an_unsealed_line_is_sealed_by_the_next(tmp_path: Path) -> None:
    ledger = FolderLedger(tmp_path)
    ledger.append(lambda _: USED)
    before = (tmp_path / "head.json").read_bytes()
    ledger.append(lambda _: USED)
    (tmp_path / "head.json").write_bytes(before)
    ledger.append(lambda _: USED)
    assert len(ledger.entries()) == json.loads((tmp_path / "head.json").read_bytes())["entries"] == 3


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    ledger, other = FolderLedger(tmp_path / "ledger"), tmp_path / "other"
    other.write_bytes(b"")
    ledger.folder.mkdir()
    (ledger.folder / "log.jsonl").symlink_to(other)
    with pytest.raises(GuardRefused, match="cannot be used"):
        ledger.append(lambda _: USED)
    assert other.read_bytes() == b""


def test_a_place_that_is_no_folder_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("")
    with pytest.raises(GuardRefused, match="cannot be used"):
        FolderLedger(tmp_path / "ledger").entries()


# --- Which one ------------------------------------------------------------------------------------


def test_the_environment_names_the_ledger(tmp_path: Path) -> None:
    workspace, state = tmp_path / "ws", str(tmp_path / "state")
    workspace.mkdir()
    named = open_ledger({"ECOLOAD_LEDGER": str(tmp_path / "l"), "XDG_STATE_HOME": state}, workspace)
    assert named.name == str(tmp_path / "l")
    assert open_ledger({"XDG_STATE_HOME": state}, workspace).name == f"{state}/ecoload/ledger"
    for environ in ({}, {"XDG_STATE_HOME": "not/absolute"}):
        assert open_ledger(environ, workspace).name.endswith("/.local/state/ecoload/ledger")


def test_a_ledger_in_the_workspace_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "ws" / "l")
    (tmp_path / "ws").mkdir()
    for place in (tmp_path / "ws" / "l", link, tmp_path / "ws"):
        with pytest.raises(GuardRefused, match="the change that is approved could change it"):
            open_ledger({"ECOLOAD_LEDGER": str(place)}, tmp_path / "ws")
    here = open_ledger({"ECOLOAD_LEDGER": str(tmp_path / "ws" / "l")}, tmp_path / "ws", anywhere=True)
    assert here.name == str(tmp_path / "ws" / "l")
