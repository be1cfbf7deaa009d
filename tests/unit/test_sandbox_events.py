"""Which events A2 of the sandbox takes, and which it does not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoload.sandbox.a2 import parse_event

GOOD: dict[str, Any] = {"event_id": "e-1", "namespace": "perf_test", "kind": "click", "at": 1_700_000_000_000}


def test_a_good_event_is_taken_with_every_key_it_came_with() -> None:
    event, wrong = parse_event(GOOD | {"data": {"b": 1, "a": [2]}, "more": None}, None)
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
        event, _ = parse_event(document, header)
        assert event is not None
        assert event.run_id == expected


def test_the_order_of_keys_makes_no_other_event_and_a_value_does() -> None:
    backwards = dict(reversed(GOOD.items()))
    same, turned, other = (parse_event(document, None)[0] for document in (GOOD, backwards, GOOD | {"at": 1}))
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
        ({"data": [1]}, "data"),
        ({"sequence": 1}, "sequence"),
        ({"received_at": 1}, "received_at"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(change: dict[str, Any], named: str) -> None:
    event, wrong = parse_event(GOOD | change, None)
    assert event is None
    assert [reason.partition(":")[0] for reason in wrong] == [named]


def test_everything_wrong_is_said_at_once() -> None:
    assert len(parse_event({}, None)[1]) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_whatever_json_comes_is_an_event_or_has_reasons(document: Any) -> None:
    event, wrong = parse_event(document, None)
    assert (event is None) == bool(wrong)
