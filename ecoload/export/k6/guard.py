"""What a script refuses in `setup()`, before anything is sent: what ecoload's guard would refuse.

Rules
-----
- A script goes to hosts that targets.yaml names: those that are written there, those that the environment
  named when it was exported, and for `sandbox` this machine.
- What needs an approval in ecoload needs `ECOLOAD_APPROVED` here: a reminder, k6 verifies no signature.
- VUs are counted in the options that k6 runs with, not in those that were exported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ecoload.export.k6.js import CannotExport, Literal, Raw, called, declaration
from ecoload.export.k6.steps import base_url_name
from ecoload.guard.approval import reasons_for_approval
from ecoload.plan import Load, Origin, Plan
from ecoload.spec.targets import base_url, origin
from ecoload.spec.workspace import Workspace

_ONE_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}")

BASE_URL = """\
// An address as the environment has it, without slashes at its end.
function baseUrl(variable, otherwise = "") {
  return (__ENV[variable] || otherwise).replace(/\\/+$/, "");
}"""

_LOOPBACK = ["127.0.0.1", "[::1]", "localhost"]
LOOPBACK = f"""\
// This machine, where the sandbox is.
{declaration("LOOPBACK", [*_LOOPBACK])}"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an app is: the constant of the script, the variable that it is read from, what it is without the
    variable (or nothing), and the hosts that it may name; with `loopback`, this machine too."""

    app: str
    variable: str
    otherwise: str
    hosts: tuple[str, ...]
    loopback: bool

    @property
    def declaration(self) -> str:
        return called(base_url_name(self.app), "baseUrl", *filter(None, (self.variable, self.otherwise)))

    @property
    def row(self) -> list[Literal]:
        named: list[Literal] = [*self.hosts]
        hosts: Literal = Raw("LOOPBACK") if self.loopback else named
        if self.loopback and named:
            hosts = [Raw("...LOOPBACK"), *named]
        return [self.variable, Raw(base_url_name(self.app)), hosts]


def addresses(workspace: Workspace, plan: Plan, origins: Iterable[int]) -> list[Address]:
    """Where the origins of a plan are. Raises CannotExport where two apps would have one name."""
    found = [_address(workspace, plan.origins[index]) for index in sorted(set(origins))]
    names = [base_url_name(address.app) for address in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CannotExport(f"two apps would be called {' and '.join(twice)} in a script; rename one of them")
    return found


def _address(workspace: Workspace, there: Origin) -> Address:
    text = workspace.targets.apps[there.app].base_url
    single = _ONE_VARIABLE.fullmatch(text)
    variable = single[1] if single else f"{base_url_name(there.app)}_URL"
    standing = _standing(workspace, there.app)
    both = [there, *([standing] if standing is not None else [])]
    local = any(one.embedded for one in both)
    named = dict.fromkeys(_host(one) for one in both if not one.embedded)
    hosts = [host for host in named if not (local and host in _LOOPBACK)]
    otherwise = _url(standing) if standing is not None and not standing.embedded else ""
    return Address(there.app, variable, otherwise, tuple(hosts), local)


def _standing(workspace: Workspace, app: str) -> Origin | None:
    """The app as it is reached where the environment says nothing; None where it must."""
    shape = workspace.targets.apps[app]
    url = base_url(shape.base_url, {})
    if url is None:
        return None
    production = workspace.targets.guardrails.production_hosts
    return origin(app, shape, url, workspace.root, embedded=False, production=production)


def _host(there: Origin) -> str:
    return (f"[{there.host}]" if ":" in there.host else there.host).lower()


def _url(there: Origin) -> str:
    return f"{there.scheme}://{there.authority}{there.base_path}"


def reasons(workspace: Workspace, plan: Plan, loads: Sequence[Load]) -> tuple[str, ...]:
    """Why the loads need an approval, the number of VUs aside: at the addresses of the plan, and at those
    that hold where the environment says nothing."""
    standing = [_standing(workspace, there.app) or there for there in plan.origins]
    variants = [
        replace(plan, loads=tuple(loads), origins=tuple(origins), approval_over_vus=sys.maxsize)
        for origins in (plan.origins, standing)
    ]
    return tuple(dict.fromkeys(reason for variant in variants for reason in reasons_for_approval(variant)))


def constants(plan: Plan, places: Sequence[Address], needed: Sequence[str]) -> str:
    """The constants that `GUARD` looks at; `needed` are the variables that must be set."""
    rows: list[Literal] = [place.row for place in places]
    return "\n".join(
        [
            *([LOOPBACK] if any(place.loopback for place in places) else []),
            "// Where the apps are, and the hosts that targets.yaml names for them.",
            declaration("APPS", rows),
            "// What must be set.",
            declaration("NEEDED", [*needed]),
            "// More VUs than these need an approval.",
            declaration("APPROVAL_OVER_VUS", plan.approval_over_vus),
        ]
    )


GUARD = """\
// Refuses what ecoload's guard would, before anything is sent.
function guard() {
  const missing = NEEDED.filter((name) => !__ENV[name]);
  if (missing.length > 0) {
    const names = missing.join(", ");
    throw new Error(`set ${names}: the head of ${SCRIPT} says what each is`);
  }
  for (const [variable, url, hosts] of APPS) {
    const host = hostOf(url);
    if (!host) {
      throw new Error(
        `${variable}: expected an address such as https://host:8443`,
      );
    }
    if (!hosts.includes(host)) {
      throw new Error(
        `${variable}: targets.yaml names no ${host}; name it there, and export again`,
      );
    }
  }
  const reasons = [...REASONS];
  const vus = Object.values(exec.test.options.scenarios)
    .map(mostVUs)
    .reduce((sum, most) => sum + most, 0);
  if (vus > APPROVAL_OVER_VUS) {
    reasons.unshift(
      `it can reach ${vus} VUs, and more than ${APPROVAL_OVER_VUS} need an approval`,
    );
  }
  if (reasons.length > 0 && __ENV.ECOLOAD_APPROVED !== SPEC_HASH) {
    throw new Error(
      `a human has to approve this load: ${reasons.join("; ")}. ` +
        `Then run it with ECOLOAD_APPROVED=${SPEC_HASH}`,
    );
  }
}

// The host of an address, in small letters; nothing where it is none.
function hostOf(url) {
  const host = "(\\\\[[0-9a-f:.]+\\\\]|[a-z0-9._-]+)";
  const form = new RegExp(`^https?://${host}(:[0-9]+)?(/[^?#\\\\s]*)?$`, "i");
  const found = form.exec(url);
  return found && found[1].toLowerCase();
}

// The most VUs that a scenario can have.
function mostVUs({ executor, vus, startVUs, preAllocatedVUs, maxVUs, stages }) {
  const targets = executor === "ramping-vus" ? stages : [];
  return Math.max(
    ...[vus, startVUs, preAllocatedVUs, maxVUs].map((number) => number || 0),
    ...targets.map(({ target }) => target),
  );
}"""
