"""The bundle: the same bytes of the same content, and nothing believed that is read from one."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecoload.errors import OutputFailed, UsageError
from ecoload.report import bundle as bundle_module
from ecoload.report.bundle import MANIFEST, read_bundle, write_bundle
from tests.unit import suite_samples as samples

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small suite's folder and its reports, and the bundle of both."""
    root = tmp_path_factory.mktemp("bundle")
    samples.write_suite_folder(root / "suite", samples.rehearsal())
    reports = root / "reports"
    for name in ("ecosystem_perf_summary.md", "a1/slo_verdict.md", "a1/latency_smoke.csv"):
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text(f"# {name}\n")
    write_bundle(root / "bundle.zip", root / "suite", reports)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "root"))


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def info(name: str, **changes: Any) -> zipfile.ZipInfo:
    """A member as a bundle's are."""
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.compress_type, made.create_system = zipfile.ZIP_DEFLATED, 3
    made.external_attr = (stat.S_IFREG | 0o644) << 16
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def pack(path: Path, members: dict[str, bytes], **changes: Any) -> None:
    """A zip of these members, the manifest made for them where they hold none. `changes` are made to the
    first member that is not the manifest."""
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members.items())
    with zipfile.ZipFile(path, "w") as file:
        for name, data in {MANIFEST: sums.encode(), **members}.items():
            file.writestr(info(name, **(changes if name != MANIFEST else {})), data)


# --- writing --------------------------------------------------------------------------------------


def test_it_holds_what_the_verdicts_can_be_formed_from_and_the_reports(made: Path) -> None:
    names = set(content(made / "bundle.zip"))
    assert {
        *("suite/suite.json", "suite/protocol.json", "suite/availability.csv", "suite/approval.json"),
        *("suite/workspace/targets.yaml", "suite/workspace/data.jsonl", "suite/workspace/scenarios/a2.yaml"),
        *("suite/workspace/scenarios/parts/form.bin", "reports/ecosystem_perf_summary.md"),
        *("reports/a1/slo_verdict.md", "reports/a1/latency_smoke.csv", "suite/health/all/run.json"),
        *(f"suite/baseline/a8/{name}" for name in ("run.json", "plan.json", "latency.hlog", "series.csv")),
        *("suite/baseline/a8/metrics_before.txt", "suite/baseline/a8/summary.md", MANIFEST),
    } <= names
    assert not [name for name in names if name.endswith("report.html")]


def test_nothing_goes_in_that_is_not_named(root: Path) -> None:
    before = (root / "bundle.zip").read_bytes()
    for name in (".env", "notes.txt", "smoke/a1/core", "workspace/.env", "workspace/scenarios/.env",
                 "workspace/scenarios/__pycache__/a2.pyc", "ramp/a1/run.json"):  # fmt: skip
        path = root / "suite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    (root / "reports" / "a1" / "latency_smoke.csv.bak").write_text("secret")
    (root / "reports" / "other.md").write_text("secret")
    write_bundle(root / "bundle.zip", root / "suite", root / "reports")
    assert (root / "bundle.zip").read_bytes() == before


def test_the_same_content_gives_the_same_bytes_whenever_and_by_whomever(root: Path) -> None:
    before = (root / "bundle.zip").read_bytes()
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    moved = root.with_name("elsewhere")
    root.rename(moved)
    write_bundle(moved / "again.zip", moved / "suite", moved / "reports")
    assert (moved / "again.zip").read_bytes() == before


def test_other_content_gives_other_bytes(root: Path) -> None:
    before = (root / "bundle.zip").read_bytes()
    (root / "suite" / "smoke" / "a1" / "series.csv").write_text("other\n")
    write_bundle(root / "bundle.zip", root / "suite", root / "reports")
    assert (root / "bundle.zip").read_bytes() != before


def test_names_are_sorted_and_dates_and_modes_are_always_the_same(made: Path) -> None:
    with zipfile.ZipFile(made / "bundle.zip") as file:
        assert file.namelist() == sorted(file.namelist())
        assert {(one.date_time, one.external_attr >> 16, one.compress_type) for one in file.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), stat.S_IFREG | 0o644, zipfile.ZIP_DEFLATED)
        }


def test_the_manifest_is_in_the_form_of_sha256sum_and_covers_every_other_member(made: Path) -> None:
    members = content(made / "bundle.zip")
    manifest = members.pop(MANIFEST).decode()
    expected = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in members.items()]
    assert manifest.splitlines() == expected


def test_it_unpacks_below_the_folder_it_is_unpacked_in(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made / "bundle.zip") as file:
        file.extractall(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"suite", "reports", MANIFEST}


@pytest.mark.parametrize(
    "name", ["smoke/a1/run.json", "smoke/a1", "workspace/scenarios/link.yaml", "workspace"]
)
def test_a_link_is_refused_and_not_followed(root: Path, name: str) -> None:
    path = root / "suite" / name
    aside = root / "aside"
    if path.exists():
        path.rename(aside)
    else:
        aside.write_text("x")
    path.symlink_to(aside)
    before = (root / "bundle.zip").read_bytes()
    with pytest.raises(UsageError, match="is a link"):
        write_bundle(root / "bundle.zip", root / "suite", root / "reports")
    assert (root / "bundle.zip").read_bytes() == before


def test_a_run_that_counts_and_is_not_there_is_named(root: Path) -> None:
    (root / "suite" / "smoke" / "a3" / "run.json").unlink()
    with pytest.raises(UsageError, match=r"smoke/a3/run\.json is missing"):
        write_bundle(root / "bundle.zip", root / "suite", root / "reports")


@pytest.mark.parametrize("folder", ["../../etc/a1", "/etc/a1", "smoke/../../a1", "smoke\\a1", "smoke"])
def test_a_folder_that_leads_out_of_the_suite_is_refused(root: Path, folder: str) -> None:
    tree = orjson.loads((root / "suite" / "suite.json").read_bytes())
    tree["phases"][1]["cells"][0]["runs"][0]["folder"] = folder
    (root / "suite" / "suite.json").write_bytes(orjson.dumps(tree))
    with pytest.raises(UsageError, match="no run's folder"):
        write_bundle(root / "bundle.zip", root / "suite", root / "reports")


def test_a_scenario_whose_name_no_bundle_could_hold_is_named(root: Path) -> None:
    (root / "suite" / "workspace" / "scenarios" / "a\\b.yaml").write_text("x")
    with pytest.raises(UsageError, match="cannot stand in a bundle"):
        write_bundle(root / "bundle.zip", root / "suite", root / "reports")


@pytest.mark.parametrize("name", ["prüfung 1.yaml", "परीक्षण.yaml", "テスト (2).yaml", "e\u0301.yaml"])
def test_a_scenario_with_a_name_of_any_language_goes_in(root: Path, name: str) -> None:
    (root / "suite" / "workspace" / "scenarios" / name).write_text("x")
    write_bundle(root / "bundle.zip", root / "suite", root / "reports")
    assert read_bundle(root / "bundle.zip").read(f"suite/workspace/scenarios/{name}") == b"x"


@pytest.mark.parametrize("text", [None, b"{", b"[]"])
def test_a_folder_without_a_result_is_a_usage_error(root: Path, text: bytes | None) -> None:
    path = root / "suite" / "suite.json"
    path.unlink() if text is None else path.write_bytes(text)
    with pytest.raises(UsageError, match=r"suite\.json"):
        write_bundle(root / "bundle.zip", root / "suite", root / "reports")


def test_a_disk_that_refuses_leaves_the_older_bundle_and_no_remains(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> str:
        raise OSError(28, "No space left on device", "bundle.zip.new")

    before = (root / "bundle.zip").read_bytes()
    monkeypatch.setattr(bundle_module, "_copied", full)
    with pytest.raises(OutputFailed, match="No space left on device"):
        write_bundle(root / "bundle.zip", root / "suite", root / "reports")
    assert (root / "bundle.zip").read_bytes() == before
    assert not list(root.glob("*.new"))


def test_a_file_that_changes_while_it_is_bundled_is_found_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_module, "_sum", lambda path: "0" * 64)
    with pytest.raises(OutputFailed, match="was changed while it was bundled"):
        write_bundle(root / "new.zip", root / "suite", root / "reports")
    assert not list(root.glob("new.zip*"))


# --- reading --------------------------------------------------------------------------------------


def test_a_bundle_reads_back_as_it_was_written(made: Path) -> None:
    members = content(made / "bundle.zip")
    bundle = read_bundle(made / "bundle.zip")
    assert set(bundle.sums) == set(members) - {MANIFEST}
    for name in bundle.sums:
        assert bundle.read(name) == members[name]
    with pytest.raises(UsageError, match="holds no"):
        bundle.read("suite/nothing.json")


def test_reading_writes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    read_bundle(root / "bundle.zip")
    assert sorted(root.rglob("*")) == before


def remove(name: str) -> Change:
    return lambda members: members.pop(name) and None


def put(name: str, data: bytes) -> Change:
    return lambda members: members.update({name: data})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (remove("suite/smoke/a1/run.json"), r"smoke/a1/run\.json is missing"),
        (remove(MANIFEST), "no MANIFEST"),
        (put("suite/extra.json", b"{}"), "extra.json is not in the manifest"),
        (put("suite/suite.json", b"{}"), r"suite\.json was changed"),
        (put(MANIFEST, b""), "no line of it"),
        (put(MANIFEST, b"x  suite/suite.json\n"), "no line of it"),
        (put(MANIFEST, b"\xff\xfe"), "not a sound bundle"),
        (lambda members: put(MANIFEST, members[MANIFEST] * 2)(members), "no line of it"),
        (lambda members: put(MANIFEST, members[MANIFEST] + b"\n")(members), "no line of it"),
    ],
)
def test_whatever_was_changed_is_found_out(root: Path, change: Change, told: str) -> None:
    members = content(root / "bundle.zip")
    change(members)
    path = root / "changed.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(info(name), data)
    with pytest.raises(UsageError, match=told):
        read_bundle(path)


@pytest.mark.parametrize(
    "name",
    [
        "/suite/x", "suite/../x", "../x", "suite/./x", "suite//x", "suite/x/", "suite\\x", "suite/a\\..\\x",
        "C:/x", "suite/C:x", "x", "suite", "other/x", "suite/.ssh", "suite/a\nb", "suite/a\x00.json",
        "suite/", "suite/x ", "suite/x.", "~/x", "suite/\u202ex", "MANIFEST.sha256/x", "manifest.sha256",
    ],
)  # fmt: skip
def test_a_name_that_is_none_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bundle.zip"
    # Python's own writer would cut a name at its NUL; the bytes are put in afterwards.
    shown = name.replace("\x00", "@")
    pack(path, {shown: b"x"})
    if shown != name:
        path.write_bytes(path.read_bytes().replace(shown.encode(), name.encode()))
    with pytest.raises(UsageError, match="no name of a bundle's member"):
        read_bundle(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"external_attr": (stat.S_IFLNK | 0o777) << 16},
        {"external_attr": (stat.S_IFDIR | 0o755) << 16 | 0x10},
        {"external_attr": (stat.S_IFREG | stat.S_ISUID | 0o755) << 16},
        {"external_attr": (stat.S_IFIFO | 0o644) << 16},
        {"create_system": 0},
        {"compress_type": zipfile.ZIP_STORED},
        {"compress_type": zipfile.ZIP_BZIP2},
        # A field by which some unpackers give a member another name.
        {"extra": b"\x75\x70\x09\x00\x01\x00\x00\x00\x00/etc"},
    ],
    ids=["link", "folder", "setuid", "pipe", "system", "stored", "bzip2", "renaming"],
)
def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "bundle.zip"
    pack(path, {"suite/suite.json": b"{}"})
    assert read_bundle(path).read("suite/suite.json") == b"{}"
    pack(path, {"suite/suite.json": b"{}"}, **changes)
    with pytest.raises(UsageError, match="no plain file"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("first", "second"),
    [("suite/x", "suite/x"), ("suite/x", "suite/X"), ("suite/\u00e9", "suite/e\u0301")],
    ids=["same", "case", "form"],
)
def test_two_members_that_unpack_to_one_file_are_refused(tmp_path: Path, first: str, second: str) -> None:
    path = tmp_path / "bundle.zip"
    pack(path, {"suite/a": b"1"})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info(first), b"2")
        if second == first:
            with pytest.warns(UserWarning, match="Duplicate"):
                file.writestr(info(second), b"3")
        else:
            file.writestr(info(second), b"3")
    with pytest.raises(UsageError, match="is there twice"):
        read_bundle(path)


def test_what_would_fill_a_disk_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.zip"
    pack(path, {"suite/a": bytes(1 << 20), "suite/b": bytes(1 << 20)})
    read_bundle(path)
    monkeypatch.setattr(bundle_module, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(bundle_module, "_content", lambda *args: pytest.fail("unpacked"))
    with pytest.raises(UsageError, match="GiB when unpacked"):
        read_bundle(path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle.zip"
    pack(path, {f"suite/{at}": b"" for at in range(10)})
    read_bundle(path)
    monkeypatch.setattr(bundle_module, "MAX_MEMBERS", 10)
    with pytest.raises(UsageError, match="11 members"):
        read_bundle(path)


def test_a_manifest_of_no_sensible_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle.zip"
    pack(path, {"suite/a": b""})
    monkeypatch.setattr(bundle_module, "_MAX_MANIFEST", 10)
    with pytest.raises(UsageError, match="sensible size"):
        read_bundle(path)


@pytest.mark.parametrize("data", [None, b"", b"PK\x05\x06", b"no zip at all"])
def test_what_is_no_zip_is_a_usage_error(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "bundle.zip"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match="not a sound bundle"):
        read_bundle(path)


def test_a_bundle_that_is_exchanged_after_it_was_looked_at_gives_nothing_out(root: Path) -> None:
    bundle = read_bundle(root / "bundle.zip")
    members = content(root / "bundle.zip") | {"suite/protocol.json": b"other"}
    members.pop(MANIFEST)
    pack(root / "bundle.zip", members)
    with pytest.raises(UsageError, match="changed since"):
        bundle.read("suite/protocol.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_to_the_file_changes_what_is_read_from_it(tmp_path: Path, data: st.DataObject) -> None:
    whole = tmp_path / "whole.zip"
    members = {"suite/suite.json": b'{"schema": "ecoload.suite/1"}' * 5, "reports/a.md": b"# a"}
    pack(whole, members)
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(raw[: data.draw(st.integers(0, len(raw))) if data.draw(st.booleans()) else None])
    try:
        bundle = read_bundle(damaged)
        assert {name: bundle.read(name) for name in bundle.sums} == members
    except UsageError:
        pass
