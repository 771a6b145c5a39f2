"""What is told of the settings of a sweep, in words and numbers."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lec7.errors import InputError
from lec7.sweep.results import Results, Setting, worth


def table(results: Results) -> tuple[list[str], list[list[str]]]:
    """The settings, the best first: headings, those of numbers with a "#" behind, and a text for each column.

    Beside the metric stand up to three other figures of its kind: beside the accuracy on the test examples, their loss.

    Raises:
        InputError: no lane has ended.
    """
    if not results.rows:
        raise InputError("the sweep has no results yet")
    settings = results.settings()
    kind = results.metric.rpartition("/")[0]
    known = dict.fromkeys(name for row in results.rows for name in row.metrics)
    others = [name for name in known if name.rpartition("/")[0] == kind and name != results.metric][:3]
    columns: list[tuple[str, list[str]]] = []
    for name in results.fields:
        values = [setting.hyperparameters[name] for setting in settings]
        columns.append((f"{name}#" if all(map(is_number, values)) else name, [text(value) for value in values]))
    for name in (results.metric, *others):
        columns.append((f"{name}#", [_figure(setting, name) for setting in settings]))
    if len(settings) < len(results.rows):
        columns.append(("seeds#", [str(len(setting.rows)) for setting in settings]))
    columns.append(("status", [_ended(setting) for setting in settings]))
    headings, cells = zip(*columns, strict=True)
    return list(headings), [list(row) for row in zip(*cells, strict=True)]


def summary(results: Results) -> str:
    """How many lanes there are, and what became of them.

    >>> from lec7.sweep.results import Row
    >>> summary(Results((Row(0, {"seed": 3}, "finished", 10, {"test/loss": 0.5}, {}),), "test/loss", "minimize"))
    '1 lane, 1 setting: 1 finished'
    """
    counts = Counter(row.status for row in results.rows)
    ended = ", ".join(f"{counts[status]} {status}" for status in ("finished", "stopped", "diverged") if counts[status])
    lanes, settings = len(results.rows), len(results.settings())
    return f"{lanes} lane{'s' * (lanes != 1)}, {settings} setting{'s' * (settings != 1)}: {ended}"


def best(settings: Sequence[Setting], count: int | None = None) -> list[Setting]:
    """Those of which no run diverged, at most so many."""
    return [setting for setting in settings if not math.isnan(setting.mean)][:count]


def text(value: Any) -> str:
    """A value of a field, in few characters.

    >>> text(1e-3), text(0.123456), text(4096), text((64, 32)), text(None), text("adam")
    ('0.001', '0.1235', '4096', '(64, 32)', 'None', 'adam')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def is_number(value: Any) -> bool:
    """Whether a value of a field is a number, which True is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figure(setting: Setting, name: str) -> str:
    mean, spread = worth(setting.rows, name)
    if math.isnan(mean):
        return "" if setting.status == "diverged" else "nan"
    return f"{mean:#.4g}".rstrip(".") + ("" if math.isnan(spread) else f" ± {spread:.2g}")


def _ended(setting: Setting) -> str:
    """What became of a setting's runs; of how many, where it is not of all."""
    if setting.status == "finished":
        return "finished"
    runs = [row for row in setting.rows if row.status == setting.status]
    share = f", {len(runs)} of {len(setting.rows)}" if len(setting.rows) > 1 else ""
    return f"{setting.status} at step {min(row.step for row in runs)}{share}"
