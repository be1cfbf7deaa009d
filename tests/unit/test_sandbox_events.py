"""Which events A2 of the sandbox takes, and which it does not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a2.app import parse_event

GOOD: dict[str, Any] = {"event_id": "e-1", "namespace": "perf_test", "kind": "click", "at": 1_700_000_000_000}


def test_a_good_event_is_taken_with_every_key_it_came_with() -> None:
    event, wrong = parse_event(GOOD | {"data": {"b": 1, "a": [2]}, "more": None}, None, None)
    assert wrong == []
    assert event is not None
    assert (event.event_id, event.kind, event.at, event.run_id) == ("e-1", "click", 1_700_000_000_000, None)
    assert orjson.loads(event.body) == GOOD | {"data": {"b": 1, "a": [2]}, "more": None}


def test_the_run_is_the_documents_else_the_headers() -> None:
    for document, header, expected in (
        (GOOD, None, None),
        (GOOD, "of-header", "of-header"),
        (GOOD | {"run_id": "own"}, "of-header", "own"),
    ):
        event, _ = parse_event(document, header, None)
        assert event is not None
        assert event.run_id == expected


def test_the_lineage_is_the_documents_else_the_headers_else_the_events_own() -> None:
    for document, header, expected in (
        (GOOD, None, "e-1"),
        (GOOD | {"lineage_id": None}, None, "e-1"),
        (GOOD, "of-header", "of-header"),
        (GOOD | {"lineage_id": "own"}, "of-header", "own"),
    ):
        event, _ = parse_event(document, None, header)
        assert event is not None
        assert event.lineage_id == expected


def test_what_stands_in_the_headers_is_checked_like_the_rest() -> None:
    event, wrong = parse_event(GOOD, "a b", "")
    assert event is None
    assert [reason.partition(":")[0] for reason in wrong] == ["run_id", "lineage_id"]


def test_the_order_of_keys_makes_no_other_event_and_a_value_does() -> None:
    backwards = dict(reversed(GOOD.items()))
    same, turned, other = (
        parse_event(document, None, None)[0] for document in (GOOD, backwards, GOOD | {"at": 1})
    )
    assert same is not None and turned is not None and other is not None
    assert same.digest == turned.digest
    assert same.digest != other.digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": 5}, "event_id"),
        ({"event_id": "a/b"}, "event_id"),
        ({"event_id": "x" * 129}, "event_id"),
        ({"event_id": "e-1\n"}, "event_id"),
        ({"event_id": "count"}, "event_id"),
        ({"kind": None}, "kind"),
        ({"namespace": "production"}, "namespace"),
        ({"namespace": None}, "namespace"),
        ({"at": "now"}, "at"),
        ({"at": -1}, "at"),
        ({"at": 1.5}, "at"),
        ({"at": True}, "at"),
        ({"run_id": ["x"]}, "run_id"),
        ({"at": 2**53}, "at"),
        ({"lineage_id": ""}, "lineage_id"),
        ({"lineage_id": []}, "lineage_id"),
        ({"lineage_id": False}, "lineage_id"),
        ({"lineage_id": "a b"}, "lineage_id"),
        ({"app": 6}, "app"),
        ({"state": "New York"}, "state"),
        ({"data": [1]}, "data"),
        ({"data": None}, "data"),
        ({"sequence": 1}, "sequence"),
        ({"received_at": 1}, "received_at"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(change: dict[str, Any], named: str) -> None:
    event, wrong = parse_event(GOOD | change, None, None)
    assert event is None
    assert [reason.partition(":")[0] for reason in wrong] == [named]


def test_everything_wrong_is_said_at_once() -> None:
    assert len(parse_event({}, None, None)[1]) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    json_values,
    st.dictionaries(
        st.sampled_from(["event_id", "run_id", "lineage_id", "app", "state", "data", "at"]), json_values
    ),
    st.none() | st.text(),
)
def test_whatever_json_comes_is_an_event_or_has_reasons(
    document: Any, changes: dict[str, Any], header: str | None
) -> None:
    for candidate in (document, GOOD | changes):
        event, wrong = parse_event(candidate, header, header)
        assert (event is None) == bool(wrong)
