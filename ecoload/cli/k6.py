"""The command that writes the k6 scripts.

Rules
-----
- A script depends on the workspace alone; options choose which ones are written, and where.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from ecoload.cli.options import scenarios_option, targets_option
from ecoload.errors import UsageError


@click.command("export-k6")
@click.argument("app", required=False)
@click.option(
    "--profile", default=None, help="Only the scripts that hold this profile; each is written whole."
)
@targets_option
@scenarios_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The folder of the scripts.  [default: tests/perf/k6 beside the targets file]",
)
@click.option("--check", is_flag=True, help="Write nothing; say what is not current (exit 2).")
@click.option("--operator", is_flag=True, help="Beside each script write a manifest for k6-operator, too.")
def export_k6(
    app: str | None,
    profile: str | None,
    targets: Path,
    scenarios: Path | None,
    out: Path | None,
    check: bool,
    operator: bool,
) -> int:
    """Write the k6 scripts: all, or those of one APP."""
    from ecoload.export.k6.files import PLACE, chosen, variables_set
    from ecoload.export.tree import not_current, provide_records, read_source, write

    if not check:
        provide_records(targets)
    source = read_source(targets, scenarios, os.environ)
    folder = out if out is not None else targets.parent / PLACE
    made = chosen(source, app, profile, operator=operator)
    if not check:
        for path, state in write(folder, made):
            click.echo(f"{state:<8} {folder / path}")
    elif stale := not_current(folder, made):
        lines = ["`ecoload export-k6` has something to write:", *(f"{folder / line}" for line in stale)]
        raise UsageError("\n".join([*lines, *variables_set(source)]))
    else:
        click.echo(f"{folder}: current")
    return 0
