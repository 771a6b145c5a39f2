"""The page about a sweep, beside its pictures."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from lec7.report.sweeps.curves import BEST, FEW, curves
from lec7.report.sweeps.fields import swept, varied
from lec7.report.sweeps.fieldwise import fieldwise
from lec7.report.sweeps.figures import best, is_number, summary, table, text
from lec7.report.sweeps.pairwise import PAIRS, pairs, pairwise
from lec7.sweep.results import Results

PASTED = 3
"""Settings that the page has command lines of."""


def sweep(results: Results, folder: Path, title: str, command: str) -> list[Path]:
    """Writes `report.md`, with `curves.png`, `fields.png` and `pairs.png` where there is something to see in them.

    Args:
        results: of a sweep; a figure that is not finite counts as none.
        folder: where to.
        title: of the page.
        command: how a command line begins that runs one setting.

    Returns:
        The paths written, the page last.

    Raises:
        InputError: no lane has ended.
    """
    settings, fields = results.settings(), varied(results)
    paths = []
    for name, draw in {"curves": curves, "fields": fieldwise, "pairs": pairwise}.items():
        if (picture := draw(results, settings, fields)) is not None:
            paths.append(folder / f"{name}.png")
            picture.savefig(paths[-1], dpi=110)
    page = folder / "report.md"
    page.write_text("\n".join(_page(results, title, command, [path.stem for path in paths])))
    return [*paths, page]


def _page(results: Results, title: str, command: str, pictures: Sequence[str]) -> list[str]:
    top = [f"{command} {setting.options}".rstrip() for setting in best(results.settings(), PASTED)]
    return [
        f"# {title}",
        "",
        f"{summary(results)}.",
        "",
        *_swept(results),
        "",
        f"## Best by {results.metric}",
        "",
        *(["```", *top, "```"] if top else ["There is none: in each setting a run diverged, or has no such figure."]),
        "",
        *itertools.chain(*(_about(name, len(pairs(varied(results)))) for name in pictures)),
        "## Settings",
        "",
        "Figures are means over the seeds ± their standard deviation.",
        "",
        *_markdown(*table(results)),
        "",
    ]


def _swept(results: Results) -> list[str]:
    """What the sweep is over: a line for each field, the seed included."""
    lines = []
    for name, values in swept(results).items():
        if all(map(is_number, values)) and len(values) > 6:
            lines.append(f"- `{name}`: {len(values)} values from {text(min(values))} to {text(max(values))}")
        else:
            lines.append(f"- `{name}`: {', '.join(map(text, values))}")
    return lines


def _about(picture: str, many: int) -> list[str]:
    """The part of the page that shows a picture; `many` is how many pairs of fields there are."""
    left_out = f" Of {many} pairs the {PAIRS} with most values are drawn." if many > PAIRS else ""
    heading, words = {
        "curves": (
            "Curves",
            f"Of more than {FEW} lanes the {BEST} best settings are in colour: the mean over the seeds, in a band from "
            "the least to the greatest.",
        ),
        "fields": (
            "Field by field",
            "The best of a value is the best mean over the seeds, whatever the other fields. Runs that diverged or are "
            "far off lie at the edge.",
        ),
        "pairs": (
            "Pair by pair",
            "The best mean over the seeds, whatever the other fields; the best of all is framed. What diverged is "
            f"hatched or crossed, what was not tried is grey.{left_out}",
        ),
    }[picture]
    return [f"## {heading}", "", f"![{heading}]({picture}.png)", "", words, ""]


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    r"""A table of which numbers stand to the right.

    >>> _markdown(["name", "rate#"], [["a|b", "0.1"]])
    ['| name | rate |', '|---|---:|', '| a\\|b | 0.1 |']
    """
    lines = [[column.removesuffix("#") for column in columns], *rows]
    written = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
    rule = "".join("|---:" if column.endswith("#") else "|---" for column in columns)
    return [written[0], f"{rule}|", *written[1:]]
