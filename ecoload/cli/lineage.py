"""`ecoload lineage`: the proof that every event of a run came to every station.

Rules
-----
- Every load run of an app with `lineage:` makes the proof itself; `prove` makes it of a run that was killed.
- `verify` needs nothing but the file; with `--against` it asks the stations again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ecoload.cli.options import base_urls, targets_option

_against = click.option(
    "--against", multiple=True, metavar="APP=URL", help="Ask the stations again, an app of them there."
)


@click.group()
def lineage() -> None:
    """Prove that every event of a run came to every station, or check such a proof."""


@lineage.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--base-url", multiple=True, metavar="APP=URL", help="Where an app is by now.")
@targets_option
@click.option("--json", "as_json", is_flag=True, help="Only the proof, as JSON, on standard output.")
def prove(folder: Path, base_url: tuple[str, ...], targets: Path, as_json: bool) -> int:
    """Make the proof of a run's FOLDER, also where the run was killed."""
    import orjson

    from ecoload.protocol.lineage import prove as made
    from ecoload.report.lineage import print_proof

    tree = made(folder, base_urls(base_url), os.environ, targets.parent)
    if as_json:
        click.echo(orjson.dumps(tree, option=orjson.OPT_INDENT_2))
    else:
        print_proof(tree, folder)
    return {"PASS": 0, "FAIL": 99}.get(tree["verdict"], 5)


@lineage.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_against
@targets_option
def verify(file: Path, against: tuple[str, ...], targets: Path) -> int:
    """Compute every id and both roots of a proof's FILE again; with --against ask its stations too."""
    from ecoload.protocol.lineage import read_proof, verify_against
    from ecoload.protocol.lineage import verify as offline
    from ecoload.report.forms import clean

    problems = [f"does not hold: {problem}" for problem in offline(file)]
    if against and not problems:
        found: list[Any] = verify_against(file, base_urls(against), os.environ, targets.parent)
        problems = [f"the target says otherwise: {problem}" for problem in found]
    for problem in problems:
        click.echo(clean(problem))
    if problems:
        return 99
    tree = read_proof(file)
    counts = tree["counts"]
    asked = "; its stations hold the same still" if against else ""
    said = f"{counts['acknowledged']:,} acknowledged of {counts['sent']:,} sent"
    click.echo(clean(f"the proof holds: {said}, verdict {tree['verdict']}{asked}"))
    return 0
