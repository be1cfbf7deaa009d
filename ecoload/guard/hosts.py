"""Which addresses an app's host has: looked up once, before the run, and dialled as they are.

Rules
-----
- The engine resolves nothing: it dials the addresses that stand in the plan.
- `resolve:` wins over the name service; a literal IP stands for itself; otherwise every address of
  the name, IPv4 before IPv6, in an order that does not depend on the name service's mood (the
  addresses are part of the execution hash).
- A name that does not resolve leaves its origin without addresses; a request to it ends with the
  outcome `dns`.
- The embedded sandbox is on this machine or it is not the embedded sandbox.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from ecoload.errors import GuardRefused
from ecoload.plan import Origin, Plan

Resolver = Callable[..., Iterable[tuple[Any, ...]]]
"""Called as `socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)`, and answers like it."""


def resolve(plan: Plan, resolver: Resolver = socket.getaddrinfo, *, sandbox_is_up: bool = True) -> Plan:
    """The plan with every origin's addresses pinned; those of a sandbox that is not up yet excepted, which
    are no part of the execution hash. Raises GuardRefused, naming every origin whose `resolve:` is no IP or
    whose sandbox is not on loopback."""
    known: dict[tuple[str, int], tuple[str, ...]] = {}
    origins, refusals = [], []
    for origin in plan.origins:
        if origin.embedded and not sandbox_is_up:
            origins.append(origin)
            continue
        addresses = _fixed(origin)
        if addresses is None:
            place = (origin.host, origin.port)
            if place not in known:
                known[place] = _look_up(*place, resolver)
            addresses = known[place]
        refusals += _refusals(origin, addresses)
        origins.append(dataclasses.replace(origin, addresses=addresses))
    if refusals:
        raise GuardRefused("\n".join(refusals))
    return dataclasses.replace(plan, origins=tuple(origins))


def _fixed(origin: Origin) -> tuple[str, ...] | None:
    if origin.resolve:
        return origin.resolve
    return (origin.host,) if is_ip(origin.host) else None


def _look_up(host: str, port: int, resolver: Resolver) -> tuple[str, ...]:
    try:
        found = {str(entry[4][0]) for entry in resolver(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        # No such name, no name service, or no name at all (a label over 63 characters).
        return ()
    return tuple(sorted(found, key=lambda a: (ip_address(a).version, ip_address(a))))


def _refusals(origin: Origin, addresses: tuple[str, ...]) -> list[str]:
    strange = [a for a in addresses if not is_ip(a)]
    if strange:
        return [f"{origin.app}: resolve takes IP addresses, not {', '.join(map(repr, strange))}"]
    if origin.embedded and not (addresses and all(ip_address(a).is_loopback for a in addresses)):
        there = ", ".join(addresses) or "nowhere"
        return [f"{origin.app}: the embedded sandbox must be on loopback, and {origin.host} is at {there}"]
    return []


def is_ip(text: str) -> bool:
    """Whether a host is a literal address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
