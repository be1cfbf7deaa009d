"""The command line: reads options, calls one function, turns an error into an exit code.

Rules
-----
- Only this room exits. Every error carries its code; what is not an EcoloadError is our own fault (70).
- A room is imported when its command runs, so that `ecoload --help` is quick.
- With `--json` the result stands on standard output and nothing else does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `ecoload`. Always ends in SystemExit."""
    import click

    from ecoload.cli.commands import ecoload
    from ecoload.errors import EcoloadError, UsageError

    try:
        code = ecoload.main(arguments, prog_name="ecoload", standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except EcoloadError as error:
        from ecoload.report.forms import clean

        # Names and texts of files and targets stand in it: nothing of them reaches the terminal but letters.
        said = "\n".join([f"ecoload: {error}", *getattr(error, "__notes__", ())])
        click.echo("\n".join(map(clean, said.split("\n"))), err=True)
        code = error.exit_code
    except BrokenPipeError:
        # Whoever read us has seen enough.
        sys.stderr.close()
        code = 141
    except Exception:
        import traceback

        click.echo("ecoload: an internal error; nothing of it is the target's fault", err=True)
        click.echo(traceback.format_exc(), err=True)
        code = EcoloadError.exit_code
    sys.exit(code if isinstance(code, int) else 0)
