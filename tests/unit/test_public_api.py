"""The public surface, frozen: names that others build on change only on purpose.

When a test here fails, either undo the change, or change the constant below together with
`CHANGELOG.md` and the page in `docs/` that names what changed.
"""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

import ecoload
from ecoload import errors
from ecoload.measure.outcome import Outcome

NAMES = ["VU", "__version__"]

COMMANDS = set(
    "approve cleanup compare cross-check data e2e export export-k6 export-playwright flow import lineage "
    "plan readiness report run sandbox suite validate".split()
)

COMMON_OPTIONS = {
    "--targets",
    "--scenarios",
    "--base-url",
    "--sandbox",
    "--duration-scale",
    "--seed",
    "--out",
    "--json",
    "--no-progress",
}

EXIT_CODES = {
    "ApprovalNeeded": 3,
    "EcoloadError": 70,
    "GuardRefused": 7,
    "LimitTooLow": 2,
    "OutputFailed": 70,
    "SandboxFailed": 70,
    "SpecError": 2,
    "TargetLocked": 7,
    "TokenFailed": 6,
    "ToolMissing": 2,
    "UsageError": 2,
    "WorkerFailed": 70,
}

OUTCOMES = (
    "ok http_error check_failed capture_failed timeout refused reset dns tls proxy truncated malformed "
    "decode too_large redirect_limit cancelled guard_refused port_exhausted fd_exhausted"
).split()


def test_the_package_offers_these_names_and_no_others() -> None:
    assert sorted(ecoload.__all__) == sorted(NAMES)
    assert all(hasattr(ecoload, name) for name in NAMES)


def test_importing_the_package_brings_no_dear_library() -> None:
    code = (
        "import sys, ecoload; "
        "print(*{'numpy', 'aiohttp', 'pydantic', 'rich', 'uvloop', 'click'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_every_error_keeps_its_exit_code() -> None:
    found = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.EcoloadError)
    }
    assert found == EXIT_CODES


def test_outcomes_keep_their_names_and_order() -> None:
    assert [outcome.label for outcome in Outcome] == OUTCOMES


@pytest.fixture
def group() -> click.Group:
    from ecoload.cli.commands import ecoload as commands

    return commands


def test_the_commands_are_these(group: click.Group) -> None:
    assert set(group.commands) == COMMANDS


@pytest.mark.parametrize("command", ["run", "suite", "flow", "cross-check"])
def test_what_sends_load_takes_the_common_options(group: click.Group, command: str) -> None:
    options = {option for parameter in group.commands[command].params for option in parameter.opts}
    assert options >= COMMON_OPTIONS


def test_a_suite_takes_what_says_how_much_of_it(group: click.Group) -> None:
    options = {option for parameter in group.commands["suite"].params for option in parameter.opts}
    assert options >= {
        "--phases",
        "--apps",
        "--parallel",
        "--resume",
        "--retest",
        "--previous",
        "--approve-as",
    }
