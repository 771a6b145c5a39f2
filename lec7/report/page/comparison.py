"""What several runs have in common, and in what they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from lec7.report.page.tables import Table, cell, table


def comparison(caption: str, names: Sequence[str], facts: Sequence[Mapping[str, Any]], what: str) -> Table:
    """A row for each fact and a column for each run; of several runs, the rows that differ come first and are marked.

    Args:
        caption: of the table.
        names: of the runs.
        facts: of each run, by name.
        what: heading of the facts' names.

    >>> found = comparison("", ["a", "b"], [{"width": 8, "rate": 0.1}, {"width": 8, "rate": 0.2}], "hyperparameter")
    >>> [[cell.text for cell in row] for row in found.rows]
    [['≠ rate', '0.1', '0.2'], ['width', '8', '8']]
    """
    known = list(dict.fromkeys(name for of_run in facts for name in of_run))
    different = {name for name in known if differ(name, facts)}
    ordered = [name for name in known if name in different] + [name for name in known if name not in different]
    rows = []
    for name in ordered:
        mark = name in different
        label = cell(f"≠ {name}" if mark else name, mark)
        rows.append([label, *(cell(_shown(of_run, name), mark) for of_run in facts)])
    return table(caption, (what, *names), rows)


def differ(name: str, facts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a fact is not the same for all; one that a run lacks is another."""
    first = facts[0].get(name, ...)
    return any(_other(of_run.get(name, ...), first) for of_run in facts[1:])


def _other(a: Any, b: Any) -> bool:
    """Whether two values differ; of 1 and True, too, which Python takes for the same."""
    return a != b or isinstance(a, bool) != isinstance(b, bool)


def _shown(of_run: Mapping[str, Any], name: str) -> Any:
    """A value as it was given: a number in all its digits, since runs may differ in the last."""
    value = of_run.get(name, "not there")
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else '""' if value == "" else str(value)
