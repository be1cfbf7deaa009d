"""JUnit XML: every verdict a test case, for whatever shows test results.

Rules
-----
- FAIL is a failure, INCONCLUSIVE an error (nothing was proved), an INVALID measurement an error of
  its own. Nothing that was not judged counts as passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from ecoload.report import rows
from ecoload.report.forms import clean


def junit_xml(result: Mapping[str, Any]) -> str:
    """The verdicts of a run as one test suite."""
    name = f"ecoload.{clean(result.get('app'))}.{clean(result.get('profile'))}"
    cases = [_case(name, f"{row.of}: {row.must_be}", row.verdict, row.reason or row.was) for row in rows.judged(result)]
    status, reasons = rows.validity(result)
    verdict = {"VALID": "PASS"}.get(status, "INCONCLUSIVE")
    cases.append(_case(name, "the measurement is valid", verdict, "; ".join(reasons) or status))
    suite = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        time=str(result.get("duration_s", 0)),
        timestamp=clean(result.get("started_at", "")),
    )
    suite.extend(cases)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _case(suite: str, name: str, verdict: str, reason: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=suite, name=clean(name))
    if verdict == "FAIL":
        ElementTree.SubElement(case, "failure", message=clean(reason))
    elif verdict != "PASS":
        ElementTree.SubElement(case, "error", message=clean(reason))
    return case
