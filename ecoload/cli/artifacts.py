"""The commands that write a workspace's artifacts and take them away again.

Rules
-----
- They work on the workspace, the folder of the targets file, whatever the current folder is.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from ecoload.cli.options import base_url_option, base_urls, names, scenarios_option, targets_option
from ecoload.errors import UsageError


@click.command()
@targets_option
@scenarios_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="WORKSPACE",
    help="The folder that tests/perf/ is written in.  [default: the folder of the targets file]",
)
@click.option("--check", is_flag=True, help="Write nothing; say what is not current (exit 2).")
def export(targets: Path, scenarios: Path | None, out: Path | None, check: bool) -> int:
    """Write the resolved targets, the records, the scripts and the k6 scripts below tests/perf/."""
    from ecoload.export.targets_file import PATH
    from ecoload.export.tree import artifacts_of, not_current, provide_records, read_source, write

    root = targets.parent if out is None else out
    if targets.resolve() == (root / PATH).resolve():
        raise UsageError(f"{targets} is where the export goes; it is never written over its own source")
    if not check and out is None:
        provide_records(targets)
    made = artifacts_of(read_source(targets, scenarios, os.environ))
    if not check:
        for path, state in write(root, made):
            click.echo(f"{state:<8} {root / path}")
    elif stale := not_current(root, made):
        raise UsageError("\n".join(["`ecoload export` has something to write:", *stale]))
    else:
        click.echo(f"{root / 'tests/perf'}: current")
    return 0


@click.command()
@targets_option
@scenarios_option
@base_url_option
@click.option("--apps", callback=names, metavar="A,B", help="Ask only these apps.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Say what would be sent and removed; send and remove nothing.")
def cleanup(
    targets: Path, scenarios: Path | None, base_url: tuple[str, ...], apps: tuple[str, ...], dry_run: bool
) -> int:
    """Delete the test data in the protocol's namespace, and the generated files below tests/perf/."""
    from ecoload.export.removal import removals, remove, shown
    from ecoload.protocol.cleanup import clean, cleanups, described, exit_code
    from ecoload.spec.workspace import load_workspace

    workspace = load_workspace(targets, scenarios, os.environ)
    plans, skipped = cleanups(workspace, apps, base_urls(base_url))
    files = removals(workspace.root)
    for app in skipped:
        click.echo(app)
    if dry_run:
        for line in (*map(described, plans), *shown(files)):
            click.echo(line)
        return 0
    results = []
    for result in clean(plans, workspace, os.environ):
        results.append(result)
        click.echo(result)
    for line in remove(files):
        click.echo(line)
    return exit_code(results)
