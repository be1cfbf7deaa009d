"""What the tables on the terminal have in common.

Rules
-----
- Foreign text goes in as a rich Text: never read as markup, control characters taken out.
"""

from __future__ import annotations

import io
import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecoload.report.forms import clean

WIDEST = 120


def labelled(lines: list[tuple[str, str, str]]) -> Table:
    """Lines of `(label, text, style)`; a label that repeats is left out."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", min_width=9, no_wrap=True)
    grid.add_column(overflow="fold")
    before = ""
    for label, text, style in lines:
        grid.add_row("" if label == before else label, Text(clean(text), style))
        before = label
    return grid


def plain_table() -> Table:
    """A table with a rule under its head and nothing else."""
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim"
    )


def stdout() -> Console:
    """Standard output, with colour where it is a terminal and NO_COLOR is not set."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show `≤` gets a question mark, not a traceback.
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, markup=False, emoji=False)
