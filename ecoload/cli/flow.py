"""`ecoload flow`: one backend flow.

Rules
-----
- As every command that sends: the plan is made, the guard asked, then the sandbox started where it is meant.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ecoload.cli.options import Options, outcome_options, sandbox_of, shared_options
from ecoload.errors import OutputFailed


@click.command()
@click.argument("name")
@shared_options
@outcome_options
def flow(name: str, out: Path, approve_as: str, as_json: bool, no_progress: bool, **shared: Any) -> int:
    """Carry out the backend flow NAME (scenarios/flows/NAME.yaml), and judge every step of it."""
    import orjson

    from ecoload.cli.approving import permit_for
    from ecoload.protocol.flows import carry_out_flow, exit_code
    from ecoload.report.flow import FlowLines, SilentFlow, print_flow, write_flow_reports
    from ecoload.run import Request, prepare, resolve_secrets
    from ecoload.spec.flow_planning import make_flow

    options = Options(**shared)
    workspace = options.workspace()

    def planned(urls: dict[str, str] | None = None) -> Any:
        addresses, embedded = options.addresses(workspace, urls)
        return make_flow(workspace, name, seed=options.seed, base_urls=addresses, embedded=embedded)

    plan = planned()
    with sandbox_of([origin.app for origin in plan.origins if origin.embedded], options.seed) as (
        urls,
        environment,
    ):
        plan = prepare(planned(urls) if urls else plan)
        folder = options.targets.parent
        secrets = resolve_secrets(plan, os.environ | environment, folder)
        permit = permit_for(options, folder, [plan], approve_as)
        request = Request(plan, folder, out, secrets, approve_as, permit)
        finished = carry_out_flow(request, SilentFlow() if no_progress or as_json else FlowLines())
    try:
        write_flow_reports(finished.folder, finished.result)
    except OutputFailed as error:
        click.echo(f"ecoload: the results could not all be written: {error}", err=True)
        return error.exit_code
    if as_json:
        click.echo(
            orjson.dumps(finished.result | {"folder": str(finished.folder)}, option=orjson.OPT_INDENT_2)
        )
    else:
        print_flow(finished.result, finished.folder)
    return exit_code(finished)
