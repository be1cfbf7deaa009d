"""JUnit XML: every verdict a test case, for whatever shows test results.

Rules
-----
- FAIL is a failure; whatever proved nothing (INCONCLUSIVE, a measurement that is not VALID) is an
  error, so that it never counts as passed. What decides nothing is skipped.
"""

from __future__ import annotations

from xml.etree import ElementTree

from ecoload.report.forms import clean, number
from ecoload.report.rows import Tree, judged, validity


def junit_xml(result: Tree) -> str:
    """The verdicts of a run (`run.json` as a tree) as one test suite."""
    name = f"ecoload.{clean(result.get('app'))}.{clean(result.get('profile'))}"
    cases = [
        _case(name, f"{row.of}: {row.must_be}", row.verdict, row.reason or row.was, required=row.required)
        for row in judged(result)
    ]
    status, reasons = validity(result)
    cases.append(_case(name, "the measurement is valid", _of_validity(status), "; ".join(reasons) or status))
    suite = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=_count(cases, "failure"),
        errors=_count(cases, "error"),
        skipped=_count(cases, "skipped"),
        time=f"{number(result.get('duration_s')) or 0:.3f}",
        timestamp=clean(result.get("started_at", "")),
    )
    suite.extend(cases)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _case(suite: str, name: str, verdict: str, reason: str, *, required: bool = True) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=suite, name=clean(name))
    kind = {"PASS": "", "FAIL": "failure", "NOT_APPLICABLE": "skipped"}.get(verdict, "error")
    if not required:
        kind = "skipped"
    if kind:
        ElementTree.SubElement(case, kind, message=clean(f"{verdict}: {reason}"))
    return case


def _of_validity(status: str) -> str:
    return "PASS" if status == "VALID" else "INCONCLUSIVE"


def _count(cases: list[ElementTree.Element], kind: str) -> str:
    return str(sum(case.find(kind) is not None for case in cases))
