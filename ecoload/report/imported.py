"""The folder of an imported run: the file as it was, and the reports of what it says.

Rules
-----
- The file of the other tool is kept byte for byte, so that everything can be told again from it.
"""

from __future__ import annotations

from pathlib import Path

from ecoload.errors import OutputFailed
from ecoload.measure.result import RunResult
from ecoload.report.folder import write_reports

SUMMARY = "k6_summary.json"


def write_imported(folder: Path, result: RunResult, data: bytes) -> None:
    """Makes the folder. Raises OutputFailed where the disk refuses."""
    try:
        folder.mkdir(parents=True)
        (folder / SUMMARY).write_bytes(data)
    except OSError as error:
        raise OutputFailed(f"{folder} cannot be written: {error.strerror}; choose another --out") from error
    write_reports(folder, result.to_json())
