"""The commands that bring runs in and lay them side by side.

Rules
-----
- `compare` ends with 99 on a regression, as a run does on a FAIL; an import ends with 0, whatever the verdict
  in it: it was read.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import click

from ecoload.errors import UsageError

_PERCENT = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,6})?) ?%")


@click.group("import")
def import_group() -> None:
    """Bring in what other tools measured."""


@import_group.command("k6-summary")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder that the folder of this is made in.",
)
@click.option("--app", help="Which app was asked, where the file does not say it.")
@click.option("--profile", help="Which profile it ran, where the file does not say it.")
@click.option("--json", "as_json", is_flag=True, help="Only the result, as JSON, on standard output.")
def k6_summary(file: Path, out: Path, app: str | None, profile: str | None, as_json: bool) -> int:
    """Read a k6 summary as a run: FILE is what a script of `export-k6` wrote, what `--summary-export` did,
    or the data of `handleSummary`."""
    import orjson

    from ecoload.measure.k6_summary import MOST_BYTES, UnusableSummary, read_summary
    from ecoload.measure.strict import read_plain
    from ecoload.report.imported import write_imported
    from ecoload.report.terminal import print_result
    from ecoload.verdict.imported import ImportFacts, imported_run

    data = read_plain(file, MOST_BYTES)
    try:
        summary = read_summary(data)
    except UnusableSummary as error:
        raise UsageError(f"{file}: {error}") from error
    app, profile = _agreed("app", summary.app, app), _agreed("profile", summary.profile, profile)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{app or 'k6'}-{profile or 'summary'}-{os.urandom(2).hex()}"
    result = imported_run(summary, ImportFacts(run_id, app, profile, file.name))
    write_imported(out / run_id, result, data)
    tree = result.to_json()
    if as_json:
        click.echo(orjson.dumps(tree | {"folder": str(out / run_id)}, option=orjson.OPT_INDENT_2))
    else:
        print_result(tree, out / run_id)
    return 0


@click.command()
@click.argument("reference", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--tolerance",
    default="10%",
    show_default=True,
    metavar="PERCENT",
    help="A percentile that is worse by no more is no regression.",
)
@click.option("--json", "as_json", is_flag=True, help="Only the comparison, as JSON, on standard output.")
def compare(reference: Path, run: Path, tolerance: str, as_json: bool) -> int:
    """Say what changed from one run's folder, the reference, to another's."""
    import orjson

    from ecoload.measure.past_run import past_run
    from ecoload.report.compare import print_comparison
    from ecoload.run import judged_again
    from ecoload.verdict.compare import compare as compared
    from ecoload.verdict.comparison import Finding

    allowed = _share(tolerance)
    before, after = (past_run(judged_again(folder), folder) for folder in (reference, run))
    found = compared(before, after, (str(reference), str(run)), allowed)
    if as_json:
        click.echo(orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2))
    else:
        print_comparison(found.to_json())
    return {Finding.REGRESSION: 99, Finding.INCONCLUSIVE: 5}.get(found.verdict, 0)


def _share(text: str) -> float:
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--tolerance {text!r}: expected percent, for example 10%")
    return float(match[1]) / 100


def _agreed(what: str, in_file: str, given: str | None) -> str:
    """The name in the file, or the one given where it has none. Raises UsageError for two that differ, or one
    that is none."""
    from ecoload.report.suite_names import is_name

    if given is not None and in_file and given != in_file:
        raise UsageError(f"--{what} {given}: the file says {in_file}")
    name = given if given is not None else in_file
    if name and not is_name(name):
        raise UsageError(f"{name[:60]!r} is no name of {what}: letters, digits, - and _; see --{what}")
    return name
