"""Pinning the addresses of every origin; the name service is an argument."""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

import pytest

from ecoload.errors import GuardRefused
from ecoload.guard.hosts import resolve
from tests.unit.guard_plans import A2, A8, LIVE, plan

NAMES = {
    "a2.example": ["2001:db8::2", "192.0.2.9", "192.0.2.10", "192.0.2.9"],
    "localhost": ["::1", "127.0.0.1"],
}


def names(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(0, 0, 0, "", (address, port)) for address in NAMES[host]]


def no_names(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
    raise AssertionError("nothing is to be looked up")


def test_every_address_of_a_name_is_pinned_once_in_a_lasting_order() -> None:
    assert resolve(plan(origins=(A2,)), names).origins[0].addresses == (
        "192.0.2.9",
        "192.0.2.10",
        "2001:db8::2",
    )


def test_a_name_is_looked_up_once() -> None:
    asked = []

    def counting(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return names(host, port, **more)

    made = resolve(plan(origins=(A2, dataclasses.replace(A2, app="other"))), counting)
    assert asked == ["a2.example"]
    assert made.origins[0].addresses == made.origins[1].addresses


def test_an_override_wins_and_nothing_is_looked_up() -> None:
    origin = dataclasses.replace(A2, resolve=("192.0.2.77", "::1"))
    assert resolve(plan(origins=(origin,)), no_names).origins[0].addresses == ("192.0.2.77", "::1")


@pytest.mark.parametrize("host", ["192.0.2.1", "::1"])
def test_a_literal_address_stands_for_itself(host: str) -> None:
    assert resolve(plan(origins=(dataclasses.replace(A2, host=host),)), no_names).origins[0].addresses == (
        host,
    )


def test_a_name_that_does_not_resolve_leaves_no_addresses() -> None:
    assert [o.addresses for o in resolve(plan(origins=(A8, LIVE)), names).origins] == [(), ()]


def test_a_name_that_is_no_name_leaves_no_addresses() -> None:
    def strict(host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        host.encode("idna")
        raise AssertionError("a label this long cannot be encoded")

    origin = dataclasses.replace(A2, host="a" * 64 + ".example")
    assert resolve(plan(origins=(origin,)), strict).origins[0].addresses == ()


def test_addresses_pinned_before_are_looked_up_anew() -> None:
    origin = dataclasses.replace(A2, addresses=("203.0.113.1",))
    assert "203.0.113.1" not in resolve(plan(origins=(origin,)), names).origins[0].addresses


def test_an_override_that_is_no_address_is_refused() -> None:
    with pytest.raises(GuardRefused, match=r"a2: resolve takes IP addresses, not 'evil\.example'"):
        resolve(plan(origins=(dataclasses.replace(A2, resolve=("evil.example",)),)), names)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_embedded_sandbox_may_be_on_loopback(host: str) -> None:
    assert (
        resolve(plan(origins=(dataclasses.replace(A2, host=host, embedded=True),)), names)
        .origins[0]
        .addresses
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "a2.example", "nowhere.example"])
def test_the_embedded_sandbox_may_be_nowhere_else(host: str) -> None:
    with pytest.raises(GuardRefused, match="must be on loopback"):
        resolve(plan(origins=(dataclasses.replace(A2, host=host, embedded=True),)), names)


def test_resolving_changes_what_an_approval_signs_only_where_addresses_change() -> None:
    made = plan(origins=(A2,))
    assert resolve(made, names).execution_hash == resolve(resolve(made, names), names).execution_hash
    assert resolve(made, names).execution_hash != made.execution_hash


def test_a_sandbox_that_is_not_up_is_left_out_and_has_the_hash_it_will_have() -> None:
    place = dataclasses.replace(A8, host="sandbox", port=0, embedded=True)
    waiting = resolve(plan(origins=(A2, place, LIVE)), names, sandbox_is_up=False)
    assert waiting.origins[0].addresses
    assert waiting.origins[1] == place
    up = dataclasses.replace(place, host="127.0.0.1", port=4711)
    assert resolve(plan(origins=(A2, up, LIVE)), names).execution_hash == waiting.execution_hash
    with pytest.raises(GuardRefused, match="must be on loopback"):
        resolve(plan(origins=(A2, place, LIVE)), names)
