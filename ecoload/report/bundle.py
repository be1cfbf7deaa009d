"""`ecosystem_perf_artifacts.zip`: everything that the verdicts of a suite can be formed again from.

Rules
-----
- Only files that are named here go in: those of the suite's folder below `suite/`, the reports below
  `reports/`. A link is refused, not followed.
- The same content gives the same bytes: names sorted, one date, one mode, one level of compression.
- `MANIFEST.sha256` covers every other member. It shows what was changed by accident or left out; who
  changes the manifest too is not found out by it.
- Reading writes nothing to disk and believes nothing: names, kinds, sizes and sums are checked before any
  content is given out.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ecoload.errors import OutputFailed, UsageError
from ecoload.report.suite_names import is_name, is_run_folder
from ecoload.spec.feeders import FILE as DATA

MANIFEST = "MANIFEST.sha256"
IN_SUITE = "suite/"
"""Before the names of what comes from the suite's folder."""
SUITE_FILES = ("suite.json", "protocol.json", "availability.csv", "approval.json", "approval_request.json")
RUN_FILES = (
    *("run.json", "error.json", "plan.json", "latency.hlog", "series.csv", "memory.csv", "summary.md"),
    *("diagnostics.md", "metrics_before.txt", "metrics_after.txt", "approval.json"),
    *("e2e.json", "playwright.json", "network.har", "trace.zip", "video.webm", "page.md"),
    *("flow.json", "evidence.jsonl", "events.bin", "lineage_proof.json", "lineage_proof.md"),
)
RESULT_FILES = ("run.json", "flow.json", "e2e.json", "error.json")
"""One of them says how a run ended, or why there is none."""
SCREENSHOT = re.compile(r"[0-9]{2}-[a-z0-9-]+\.png")
BROWSER_REPORTS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*_(playwright_report\.html|e2e_results\.json)")
WORKSPACE_FILES = ("targets.yaml", "data.jsonl", DATA)
REPORT_FILES = (
    *("ecosystem_perf_summary.md", "ecosystem_perf_summary.html", "ecosystem_slo_matrix.md"),
    "cross_check.md",
)
PROOFS = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_-]*_(lineage_proof\.(json|md)|resiliency_report\.(md|html)|flow\.md)"
)
"""Copies of what proofs of the runs show, beside the reports."""
APP_REPORTS = re.compile(r"slo_verdict\.md|latency_[A-Za-z0-9][A-Za-z0-9_-]*\.csv")
MAX_BYTES = 2 << 30
MAX_MEMBERS = 20_000

_MAX_MANIFEST = 8 << 20
_CHUNK = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX, _UTF8 = 3, 0x800
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_NEVER_IN, _NEVER_FIRST, _NEVER_LAST = frozenset('\\:*?"<>|'), frozenset(". -~"), frozenset(". ")
_ENTRY = re.compile(r"([0-9a-f]{64})  (.+)")
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found whole. `sums` holds the SHA-256 of each member but the manifest."""

    path: Path
    sums: Mapping[str, str]

    def read(self, name: str) -> bytes:
        """The content of a member, held against its sum once more. Raises UsageError."""
        if name not in self.sums:
            raise UsageError(f"{self.path}: holds no {name}")
        with _opened(self.path) as bundle:
            content = b"".join(_content(bundle, name))
        if hashlib.sha256(content).hexdigest() != self.sums[name]:
            raise UsageError(f"{self.path}: {name} was changed since the bundle was looked at")
        return content


def write_bundle(zip_path: Path, suite_folder: Path, reports_folder: Path) -> None:
    """Writes the bundle beside its place and moves it there. Raises UsageError where something that it must
    hold is not there or may not go in, OutputFailed where the disk refuses."""
    members = dict(sorted(_members(suite_folder, reports_folder)))
    for name, path in members.items():
        if not _is_ours(name):
            raise UsageError(f"{path}: such a name cannot stand in a bundle")
    fresh = zip_path.with_name(zip_path.name + ".new")
    try:
        _write(fresh, members)
        fresh.replace(zip_path)
    except OSError as error:
        raise OutputFailed(f"{error.filename or zip_path}: {error.strerror}; free some space") from error
    finally:
        with suppress(OSError):
            fresh.unlink()


def read_bundle(zip_path: Path) -> Bundle:
    """A bundle, once every member was held against the manifest. Raises UsageError for one that is missing,
    not listed or changed, and for whatever could lead out of a folder or fill a disk when it is unpacked."""
    with _opened(zip_path) as bundle:
        sizes = _sizes(bundle)
        if sizes.get(MANIFEST, _MAX_MANIFEST + 1) > _MAX_MANIFEST:
            raise UsageError(f"{zip_path}: it has no {MANIFEST} of a sensible size")
        sums = _listed(b"".join(_content(bundle, MANIFEST)).decode())
        for name in sorted(sizes.keys() ^ {MANIFEST, *sums}):
            wrong = "is not in the manifest" if name in sizes else "is missing"
            raise UsageError(f"{zip_path}: {name} {wrong}")
        for name, expected in sums.items():
            found = hashlib.sha256()
            for chunk in _content(bundle, name):
                found.update(chunk)
            if found.hexdigest() != expected:
                raise UsageError(f"{zip_path}: {name} was changed")
    return Bundle(zip_path, sums)


# --- what goes in ---------------------------------------------------------------------------------


def _members(suite: Path, reports: Path) -> Iterator[tuple[str, Path]]:
    """`(name in the bundle, file)`."""
    result = _result(suite / "suite.json")
    yield from _files(suite, SUITE_FILES, "suite")
    for folder in _run_folders(result):
        if not any((suite / folder / name).is_file() for name in RESULT_FILES):
            raise UsageError(f"{suite / folder / 'run.json'} is missing, and suite.json rests on it")
        yield from _files(suite, (f"{folder}/{name}" for name in RUN_FILES), "suite")
        pictures = [path.name for path in (suite / folder).iterdir() if SCREENSHOT.fullmatch(path.name)]
        yield from _files(suite, (f"{folder}/{name}" for name in pictures), "suite")
    yield from _files(suite, (f"workspace/{name}" for name in WORKSPACE_FILES), "suite")
    yield from _files(suite, _scenarios(suite), "suite")
    yield from _files(reports, REPORT_FILES, "reports")
    proofs = [path.name for path in reports.iterdir() if PROOFS.fullmatch(path.name)]
    yield from _files(reports, proofs, "reports")
    browser = reports.parent / "playwright"
    if browser.is_dir():
        names = [path.name for path in browser.iterdir() if BROWSER_REPORTS.fullmatch(path.name)]
        yield from _files(browser, names, "reports")
    for app in map(str, result.get("apps") or ()):
        if is_name(app) and (reports / app).is_dir():
            own = [path.name for path in (reports / app).iterdir() if APP_REPORTS.fullmatch(path.name)]
            yield from _files(reports, (f"{app}/{name}" for name in own), "reports")


def _result(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}: not the result of a suite: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not the result of a suite")
    return found


def _run_folders(result: Mapping[str, Any]) -> Iterator[str]:
    for phase in result.get("phases") or ():
        for cell in phase.get("cells") or ():
            for run in cell.get("runs") or ():
                folder = str(run.get("folder"))
                if not is_run_folder(folder):
                    raise UsageError(f"suite.json: {folder!r} is no run's folder")
                yield folder


def _scenarios(suite: Path) -> Iterator[str]:
    """Every file of the scenarios, hidden ones and Python's caches left out."""
    for path in (suite / "workspace" / "scenarios").rglob("*"):
        parts = path.relative_to(suite).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if not hidden and (path.is_symlink() or not path.is_dir()):
            yield "/".join(parts)


def _files(root: Path, names: Iterable[str], below: str) -> Iterator[tuple[str, Path]]:
    """Those of `names`, from `root`, that are there."""
    for name in names:
        path = root
        for part in name.split("/"):
            path = path / part
            if path.is_symlink():
                raise UsageError(f"{path} is a link; a bundle holds files only")
        if path.is_file():
            yield f"{below}/{name}", path


def _write(target: Path, members: Mapping[str, Path]) -> None:
    sums = {name: _sum(path) for name, path in members.items()}
    manifest = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    with zipfile.ZipFile(target, "w") as bundle:
        # Its capitals sort before the rest.
        bundle.writestr(_info(MANIFEST, len(manifest)), manifest)
        for name, path in members.items():
            if _copied(bundle, name, path) != sums[name]:
                raise OutputFailed(f"{path} was changed while it was bundled; write the reports again")


def _copied(bundle: zipfile.ZipFile, name: str, path: Path) -> str:
    """Puts a file in, and gives the sum of what went in."""
    found = hashlib.sha256()
    with path.open("rb") as source, bundle.open(_info(name, path.stat().st_size), "w") as target:
        while chunk := source.read(_CHUNK):
            found.update(chunk)
            target.write(chunk)
    return found.hexdigest()


def _info(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = _UNIX
    info.external_attr = _ATTRIBUTES
    info.file_size = size
    return info


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- what comes out -------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file to read from, whose every failing is a UsageError."""
    try:
        with zipfile.ZipFile(path) as bundle:
            yield bundle
    except _BROKEN as error:
        raise UsageError(f"{path}: not a sound bundle: {error}") from error


def _sizes(bundle: zipfile.ZipFile) -> dict[str, int]:
    """Size by name, once nothing about the members is other than `write_bundle` makes it."""
    members = bundle.infolist()
    if len(members) > MAX_MEMBERS:
        raise UsageError(f"{bundle.filename}: {len(members):,} members, at most {MAX_MEMBERS:,} are read")
    sizes: dict[str, int] = {}
    alike = set()
    for info in members:
        name = info.orig_filename
        if name != MANIFEST and not _is_ours(name):
            raise UsageError(f"{bundle.filename}: {name!r} is no name of a bundle's member")
        if not _is_plain(info):
            raise UsageError(f"{bundle.filename}: {name} is no plain file as bundles hold them")
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in alike:
            raise UsageError(f"{bundle.filename}: {name} is there twice")
        alike.add(folded)
        sizes[name] = info.file_size
    if sum(sizes.values()) > MAX_BYTES:
        raise UsageError(f"{bundle.filename}: more than {MAX_BYTES >> 30} GiB when unpacked")
    return sizes


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """No link, no folder, no encryption, no field that gives it another name."""
    return (
        (info.create_system, info.external_attr) == (_UNIX, _ATTRIBUTES)
        and info.compress_type == zipfile.ZIP_DEFLATED
        and not info.flag_bits & ~_UTF8
        and not info.extra
    )


def _listed(manifest: str) -> dict[str, str]:
    sums: dict[str, str] = {}
    for line in manifest.removesuffix("\n").split("\n"):
        entry = _ENTRY.fullmatch(line)
        if entry is None or entry[2] in sums:
            raise ValueError(f"{MANIFEST}: {line!r} is no line of it")
        sums[entry[2]] = entry[1]
    return sums


def _content(bundle: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with bundle.open(name) as member:
        while chunk := member.read(_CHUNK):
            yield chunk


def _is_ours(name: str) -> bool:
    top, *rest = name.split("/")
    return top in ("suite", "reports") and bool(rest) and all(map(_is_segment, rest))


def _is_segment(part: str) -> bool:
    """Whether every system takes it for the name of one file: no `..`, no drive, nothing unseen."""
    return (
        bool(part)
        and part.isprintable()
        and not _NEVER_IN & set(part)
        and part[0] not in _NEVER_FIRST
        and part[-1] not in _NEVER_LAST
    )
