"""What things are called in a script.

Rules
-----
- A scenario's own names stay as they are where JavaScript and the script leave them free; else they get a
  number.
- An app's address is a constant in capitals, a feeder's records are called as the feeder is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ecoload.export.k6.helpers import HELPERS, MODULES
from ecoload.plan import Plan, Scenario

_WORDS = frozenset(
    """
    answer arguments await bearer body break case catch class const continue data debugger default delete do
    else enum eval export extends false finally for function if implements import in instanceof interface
    let new null package private protected public return run static super switch this throw true try typeof
    undefined var void while with yield Date Error FILES JSON Math String crypto globalThis __ENV
    """.split()
) | {*HELPERS, *MODULES}  # fmt: skip
"""What no value of a scenario is called: words of JavaScript, and what an iteration itself calls."""

_CONSTANTS = frozenset(
    "APP APPS APPROVAL_OVER_VUS FILES LEVELS LOOPBACK NEEDED OAUTH_ERRORS PACING PROFILE PROFILES REASONS "
    "SCALE SCENARIOS SCRIPT SPEC_HASH THRESHOLDS TIMEOUTS TOKEN".split()
)
"""The constants of scripts, which no app's can be."""

_FUNCTIONS = frozenset(
    "baseUrl codePoint console errors failedChecks fetchToken firstPace guard handleSummary hostOf leaving "
    "mostVUs newRunId open options pace paced records routeOf scaled setup summaryOf table teardown timeouts "
    "token utf8 vusOverTime Array Infinity NaN Number Object Uint8Array".split()
)
"""What stands at the top of a script, which no feeder's records can be."""


class Identifiers:
    """The names of one function's variables, each given once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {*_WORDS, *taken}

    def take(self, name: str) -> str:
        """`key`, or where that is taken `key2`, `key3` …"""
        unique, number = name, 2
        while unique in self._taken:
            unique, number = f"{name}{number}", number + 1
        self._taken.add(unique)
        return unique

    def give_back(self, name: str) -> None:
        """The name is not needed after all."""
        self._taken.discard(name)


def records_name(feeder: str) -> str:
    """What the records of a feeder are called in a script."""
    name = feeder.replace("-", "_")
    free = name not in _WORDS | _FUNCTIONS | _CONSTANTS and not re.match(r"[0-9]|(run|iterate)[A-Z0-9]", name)
    return name if free else f"_{name}"


def base_url_name(app: str) -> str:
    """The constant of a script that holds an app's address: A2."""
    name = app.upper().replace("-", "_")
    return f"APP_{name}" if name[0].isdigit() or name in _CONSTANTS else name


def secret_variable(plan: Plan, secret: str) -> str:
    """The environment variable of a secret: that of its reference, or its own name for a file's."""
    kind, _, name = dict(plan.secrets)[secret].partition(":")
    return name if kind == "env" else secret


def setup_member(scenario: Scenario) -> str:
    """Where `run` holds what a scenario's setup captured."""
    return f"setup_{re.sub(r'[^A-Za-z0-9]', '_', scenario.name)}"
