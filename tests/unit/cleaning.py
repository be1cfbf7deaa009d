"""Small ecosystems whose apps say how they are cleaned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from ecoload.spec.workspace import Workspace, load_workspace

WIPE = {"delete": "/test-data", "effect": "write", "namespace": {"in": "query", "at": "ns"}}


def app(wipe: Any = WIPE, **changes: Any) -> dict[str, Any]:
    whole = {
        "base_url": "http://a.test/base",
        "environment": "staging",
        "writes": "perf_test",
        "routes": {"wipe": wipe, "look": {"get": "/", "effect": "none"}},
        "cleanup": "wipe",
    }
    return {key: item for key, item in (whole | changes).items() if item is not None}


def load(tmp_path: Path, **apps: Any) -> Workspace:
    (tmp_path / "targets.yaml").write_bytes(orjson.dumps({"apps": apps}))
    return load_workspace(tmp_path / "targets.yaml", environ={"E": "value", "PASSWORD": "hush"})
