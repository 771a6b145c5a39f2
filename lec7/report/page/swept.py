"""The section about a sweep: its settings, and its metric against its fields."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from lec7.report.page import charts
from lec7.report.page.blocks import Block, Charts, Code, Section, Sorted, Text
from lec7.report.page.tables import Cell, table
from lec7.report.sweeps.fields import varied
from lec7.report.sweeps.figures import best, summary
from lec7.report.sweeps.figures import table as settings_table
from lec7.sweep.results import Results


class Swept(NamedTuple):
    """A sweep: what came out, its name, how a command line that runs a setting begins, how many lanes the page has."""

    results: Results
    name: str
    command: str
    lanes: int


def swept(found: Swept) -> Section:
    """All settings of a sweep, the best first."""
    results = found.results
    shown = "There are no curves: in each setting a run diverged."
    if found.lanes:
        shown = f"Curves and hyperparameters are of the first lane of each of the {found.lanes} best settings."
    blocks: list[Block] = [
        Text(f"{summary(results)}. {shown}"),
        Text("A sweep keeps no parameters: for predictions run the best setting by itself, and report that run."),
        *(Code(f"{found.command} {setting.options}".rstrip()) for setting in best(results.settings(), 1)),
    ]
    points = {field.name: _points(results, field.name) for field in varied(results)}
    drawn = [charts.field(name, pairs, results.metric) for name, pairs in points.items() if pairs]
    if drawn:
        blocks.append(Charts(drawn))
    columns, rows = settings_table(results)
    cells = ([_cell(text, title) for text, title in zip(row, columns, strict=True)] for row in rows)
    blocks.append(
        Sorted(table("Settings: figures are means over the seeds ± their standard deviation", columns, cells))
    )
    return Section(f"Sweep {found.name}", blocks)


def _points(results: Results, name: str) -> Sequence[tuple[object, float]]:
    """The field's value and the metric of each lane that has one."""
    rows = (
        (row.hyperparameters.get(name), row.metrics.get(results.metric, math.nan), row.status) for row in results.rows
    )
    return [(value, figure) for value, figure, status in rows if math.isfinite(figure) and status != "diverged"]


def _cell(text: str, title: str) -> Cell:
    """A cell of a column of numbers is sorted by what stands ahead of its "±"."""
    try:
        value = float(text.partition(" ±")[0]) if title.endswith("#") else math.nan
    except ValueError:
        value = math.nan
    return Cell(text, value if math.isfinite(value) else None)
