"""Files that grow each second and survive a `kill -9`.

Rules
-----
- Nothing is kept back in the process: what was appended is with the kernel when `append` returns.
- A failure (a full disk) is an OutputFailed that names the file; the file is closed then, and every
  later append fails in the same way.
"""

from __future__ import annotations

from pathlib import Path

from ecoload.errors import OutputFailed


class Appender:
    """Writes text (UTF-8) to a new file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failure = ""
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise OutputFailed(f"{path}: {error.strerror}") from error

    def append(self, text: str) -> None:
        if self._failure:
            raise OutputFailed(self._failure)
        rest = memoryview(text.encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failure = f"{self._path}: {error.strerror}"
            self._file.close()
            raise OutputFailed(self._failure) from error

    def close(self) -> None:
        self._file.close()
