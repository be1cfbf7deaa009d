"""The published JSON Schemas of the files, so that editors complete and check them.

Rules
-----
- They are made from the models that read the files; `docs/schema/` holds a copy.
- Keys in k6's spelling stand beside ours.
- Refresh the copy with `python -m ecoload.spec.schema FOLDER`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ecoload.spec.browser import BrowserShape
from ecoload.spec.flows import FlowShape
from ecoload.spec.scenarios import ScenarioShape
from ecoload.spec.shape import SPELLINGS, Model
from ecoload.spec.targets import Targets

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def published() -> dict[str, dict[str, Any]]:
    """The schema of each kind of file, by its name."""
    return {
        "targets": _schema(Targets, "targets.yaml"),
        "scenario": _schema(ScenarioShape, "scenarios/NAME.yaml"),
        "flow": _schema(FlowShape, "scenarios/flows/NAME.yaml"),
        "browser": _schema(BrowserShape, "scenarios/browser/NAME.yaml"),
    }


def texts() -> dict[str, str]:
    """The published files: name and content."""
    return {f"{name}.json": json.dumps(schema, indent=1) + "\n" for name, schema in published().items()}


def _schema(model: type[Model], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    _spell(schema)
    return {"$schema": _DIALECT, **schema, "title": title}


def _spell(node: Any) -> None:
    """Both spellings of a key, and neither required where there are two."""
    if isinstance(node, list):
        for item in node:
            _spell(item)
    if not isinstance(node, dict):
        return
    properties = node.get("properties")
    if isinstance(properties, dict):
        for other, ours in SPELLINGS.items():
            if ours in properties:
                properties[other] = properties[ours]
                if ours in (required := node.get("required", [])):
                    required.remove(ours)
                    node.setdefault("allOf", []).append(
                        {"anyOf": [{"required": [ours]}, {"required": [other]}]}
                    )
    for item in list(node.values()):
        _spell(item)


if __name__ == "__main__":
    for file, text in texts().items():
        Path(sys.argv[1], file).write_text(text, encoding="utf-8")
