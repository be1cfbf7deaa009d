"""`ecoload e2e` and `ecoload export-playwright`: the browser flows.

Rules
-----
- As every command that sends: plans are made, the guard asked, then the sandbox started where it is meant.
- Flows are carried out one after the other. One that cannot be, for want of a browser, does not keep the next
  from being tried.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ecoload.cli.options import (
    Options,
    outcome_options,
    sandbox_of,
    scenarios_option,
    shared_options,
    targets_option,
)
from ecoload.errors import OutputFailed, UsageError


@click.command()
@click.option("--flow", "flows", multiple=True, metavar="NAME", help="Only this one.  [default: all]")
@shared_options
@outcome_options
def e2e(
    flows: tuple[str, ...], out: Path, approve_as: str, as_json: bool, no_progress: bool, **shared: Any
) -> int:
    """Carry out the browser flows (scenarios/browser), and judge every step and every web vital."""
    import orjson

    from ecoload.cli.approving import permit_for
    from ecoload.protocol.browser import carry_out_browser, exit_code
    from ecoload.report.browser import (
        PLACE,
        BrowserLines,
        SilentBrowser,
        names_of,
        print_browser,
        texts_of,
        write_browser_reports,
    )
    from ecoload.report.folder import replace
    from ecoload.run import Request, prepare, resolve_secrets
    from ecoload.spec.browser_planning import make_browser

    options = Options(**shared)
    workspace = options.workspace()
    names = list(dict.fromkeys(flows)) or list(workspace.browser)
    if not names:
        raise UsageError("there is no browser flow; one is scenarios/browser/NAME.yaml with NAME.spec.ts")

    def planned(urls: dict[str, str] | None = None) -> list[Any]:
        addresses, embedded = options.addresses(workspace, urls)
        where: dict[str, Any] = {"base_urls": addresses, "embedded": embedded}
        return [make_browser(workspace, name, seed=options.seed, **where) for name in names]

    plans = planned()
    first = next(iter(workspace.browser.values())).app
    view = SilentBrowser() if no_progress or as_json else BrowserLines()
    root = options.targets.parent
    found = []
    embedded = dict.fromkeys(o.app for plan in plans for o in plan.origins if o.embedded)
    with sandbox_of(list(embedded), options.seed) as (urls, environment):
        plans = [prepare(plan) for plan in (planned(urls) if urls else plans)]
        secrets = [resolve_secrets(plan, os.environ | environment, root) for plan in plans]
        permit = permit_for(options, root, plans, approve_as)
        for plan, own in zip(plans, secrets, strict=True):
            finished = carry_out_browser(Request(plan, root, out, own, approve_as, permit), root, view)
            write_browser_reports(finished.folder, finished.result)
            found.append((finished.result, finished.folder))
            if finished.result["status"] == "interrupted":
                break
    place = root / PLACE
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in texts_of(first, found).items():
            replace(place / name, content)
    except OSError as error:
        raise OutputFailed(f"{error.filename or place}: {error.strerror}; free some space") from error
    if as_json:
        told = [result | {"folder": str(folder)} for result, folder in found]
        click.echo(orjson.dumps({"flows": told}, option=orjson.OPT_INDENT_2))
    else:
        print_browser(found, place / names_of(first)[0])
    return exit_code([result for result, _ in found])


@click.command("export-playwright")
@targets_option
@scenarios_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The folder of the project.  [default: tests/perf/playwright beside the targets file]",
)
@click.option("--check", is_flag=True, help="Write nothing; say what is not current (exit 2).")
def export_playwright(targets: Path, scenarios: Path | None, out: Path | None, check: bool) -> int:
    """Write the Playwright project of the browser flows."""
    from ecoload.export.artifact import Artifact
    from ecoload.export.playwright.files import PLACE, project
    from ecoload.export.tree import not_current, provide_records, read_source, write

    if not check:
        provide_records(targets)
    made = project(read_source(targets, scenarios, os.environ))
    if not made:
        raise UsageError("there is no browser flow; one is scenarios/browser/NAME.yaml with NAME.spec.ts")
    root, below = (out, "") if out is not None else (targets.parent, f"{PLACE}/")
    files = [Artifact(f"{below}{name}", content) for name, content in made.items()]
    if not check:
        for path, state in write(root, files):
            click.echo(f"{state:<8} {root / path}")
        return 0
    if stale := [str(root / line) for line in not_current(root, files)]:
        raise UsageError("\n".join(["`ecoload export-playwright` has something to write:", *stale]))
    click.echo(f"{(root / files[0].path).parent}: current")
    return 0
