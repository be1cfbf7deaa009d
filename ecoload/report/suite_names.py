"""Which names of a suite's result may be those of files: what leads out of a folder is none of ours.

Rules
-----
- They are those that `targets.yaml` admits. A result can come from anywhere, so they are looked at again
  before anything is written, read or linked by them.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*){1,3}")


def is_name(text: str) -> bool:
    """Whether `text` is an app's or a profile's name as `targets.yaml` admits them: safe in a file's name."""
    return _NAME.fullmatch(text) is not None


def is_run_folder(text: str) -> bool:
    """Whether `text` is a run's folder below its suite's, `baseline/a8.warmed`: nothing that leads out."""
    return _FOLDER.fullmatch(text) is not None and ".." not in text
