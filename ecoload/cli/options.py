"""The options that say which ecosystem a command is about."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from ecoload.errors import UsageError

targets_option = click.option(
    "--targets",
    type=click.Path(path_type=Path),
    default=Path("targets.yaml"),
    show_default=True,
    help="The file of the ecosystem.",
)
scenarios_option = click.option(
    "--scenarios",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder of the scenarios.  [default: scenarios/ beside the targets]",
)
base_url_option = click.option(
    "--base-url", multiple=True, metavar="APP=URL", help="Where an app is, this time."
)


def base_urls(given: Iterable[str]) -> dict[str, str]:
    """The addresses by app. Raises UsageError."""
    return dict(map(_base_url, given))


def _base_url(text: str) -> tuple[str, str]:
    app, separator, url = text.partition("=")
    if not separator or not url:
        raise UsageError(f"--base-url {text!r}: expected APP=URL, for example a2=http://127.0.0.1:8080")
    return app, url
