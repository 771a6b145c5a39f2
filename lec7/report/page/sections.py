"""The sections of the page, each from what is known of the runs; what is not known is said in a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lec7.report.page import charts
from lec7.report.page.blocks import Block, Charts, Heading, Section, Sorted, Text
from lec7.report.page.comparison import comparison, differ
from lec7.report.page.predictions import Predicted
from lec7.report.page.run import Run
from lec7.report.page.series import CURVES, NORMS, POINTS, RATES, SECTIONS, THROUGHPUT, not_finite, panels
from lec7.report.page.tables import Table, table
from lec7.train.sharded import Placed

NONE_DRAWN = {
    CURVES: "The logs have neither figures of training nor of testing.",
    RATES: "The logs have no learning rates: the optimizers have no lec7.optim.scale_by_learning_rate.",
    NORMS: "The logs have no norms: put optim.monitor(...) around the optimizer, with groups of parameters by name, to "
    "have those of gradients, updates and parameters.",
    THROUGHPUT: "The logs have no examples a second; of lanes, which share a program, there are none.",
}


@dataclass(frozen=True)
class Subject:
    """A run of the page.

    Attributes:
        run: its facts and rows.
        predicted: what its model says of the test examples, or a sentence that says why that is not known.
        placed: where its state lies on its mesh, or a sentence.
    """

    run: Run
    predicted: Predicted | str
    placed: Placed | str = "It was trained on one device."


def what_was_run(subjects: Sequence[Subject]) -> Section:
    """How each run ended, and what a reader should know of it."""
    runs = [subject.run for subject in subjects]
    names = list(dict.fromkeys(name for run in runs for name in run.figures))
    columns = {
        "run": [run.name for run in runs],
        "status": [run.status for run in runs],
        "step#": [run.step for run in runs],
        **{f"{name}#": [run.figures.get(name) for run in runs] for name in names},
        "examples / s#": [run.throughput for run in runs],
        "time [s]#": [run.seconds for run in runs],
    }
    columns = {title: values for title, values in columns.items() if any(value is not None for value in values)}
    rows = zip(*columns.values(), strict=True)
    blocks: list[Block] = [Sorted(table("Each run with the figures of its latest evaluation", list(columns), rows))]
    for run in runs:
        blocks += [Text(f"{run.name}: {note}" if len(runs) > 1 else note) for note in run.notes]
    return Section("What was run", blocks)


def hyperparameters(subjects: Sequence[Subject]) -> Section:
    """The hyperparameters, and how many models were trained on what."""
    runs = [subject.run for subject in subjects]
    facts = [{**run.hyperparameters, **{f"--{name}": value for name, value in run.settings.items()}} for run in runs]
    known = dict.fromkeys(name for of_run in facts for name in of_run)
    different = [name for name in known if differ(name, facts)]
    blocks: list[Block] = []
    if len(runs) > 1:
        blocks.append(
            Text(f"The runs differ in {', '.join(different)}; these rows come first and are marked with ≠.")
            if different
            else Text("The runs differ in none of them.")
        )
    blocks.append(Sorted(_compared("Hyperparameters, and options of the command", runs, facts, "hyperparameter")))
    return Section("Hyperparameters", blocks)


def curves(subjects: Sequence[Subject]) -> list[Section]:
    """A section for each kind of figures; those that no log has are told, other figures left out."""
    runs = [subject.run for subject in subjects]
    found = panels(runs)
    if not found:
        return [Section(CURVES, [Text("There is nothing to draw: no window of steps has been logged.")])]
    sections = []
    for title in SECTIONS:
        drawn = [panel for panel in found if panel.section == title]
        if drawn:
            blocks: list[Block] = [Charts([charts.curves(panel) for panel in drawn])]
            longest = max(len(line.points) for panel in drawn for line in panel.lines)
            if longest > POINTS:
                blocks.append(
                    Text(f"Of lines of up to {longest:,} points every so many-th is drawn, {POINTS} at most.")
                )
        elif title in NONE_DRAWN:
            blocks = [Text(NONE_DRAWN[title])]
        else:
            continue
        if title == CURVES:
            blocks += _about_curves(runs)
        if title == THROUGHPUT and drawn:
            blocks.append(Text("The first window of a run, and of one that goes on, has the compilation in it."))
        sections.append(Section(title, blocks))
    return sections


def sharding(subjects: Sequence[Subject]) -> Section:
    """Where the state of each run lies."""
    blocks: list[Block] = []
    for subject in subjects:
        run, placed = subject.run, subject.placed
        if len(subjects) > 1:
            blocks.append(Heading(run.name))
        if isinstance(placed, str):
            blocks.append(Text(placed))
            continue
        share = placed.nbytes_per_device / max(placed.nbytes, 1)
        blocks += [
            Text(
                f"Mesh {run.settings.get('mesh')}: the state has {placed.nbytes / 1e6:,.2f} MB, of which a device "
                f"keeps {placed.nbytes_per_device / 1e6:,.2f}, that is {share:.0%}."
            ),
            Sorted(
                table(
                    "Arrays of the state, and the axes of the mesh that each of theirs is dealt out over",
                    ("array", "dtype", "shape", "sharding", "bytes#", "bytes of a device#"),
                    (
                        (
                            row.name,
                            row.dtype,
                            " x ".join(map(str, row.shape)),
                            row.spec,
                            row.nbytes,
                            row.nbytes_per_device,
                        )
                        for row in placed
                    ),
                )
            ),
        ]
    return Section("Sharding", _at_once(blocks, [subject.placed for subject in subjects]))


def origin(subjects: Sequence[Subject]) -> Section:
    """Which file and versions, where and when."""
    runs = [subject.run for subject in subjects]
    shown = _compared("Where it comes from", runs, [run.origin for run in runs], "fact")
    return Section("Origin", [Sorted(shown)])


def _compared(caption: str, runs: Sequence[Run], facts: Sequence[Mapping[str, Any]], what: str) -> Table:
    names = ["value"] if len(runs) == 1 else [run.name for run in runs]
    return comparison(caption, names, facts, what)


def _about_curves(runs: Sequence[Run]) -> list[Block]:
    blocks: list[Block] = []
    for run in runs:
        who = f"{run.name}: " if len(runs) > 1 else ""
        if not panels([run]):
            blocks.append(Text(f"{who}There is nothing to draw: no window of steps has been logged."))
        names = {name for row in run.rows for name in row if name.startswith("test")}
        if "test/loss" in names and not any(name.startswith("test_") for name in names):
            blocks.append(Text(f"{who}There is one line of testing: no average of the parameters was evaluated."))
        if left_out := not_finite(run):
            blocks.append(Text(f"{who}{left_out} figures of the log are not finite, and not drawn."))
    return blocks


def _at_once(blocks: list[Block], found: Sequence[Any]) -> list[Block]:
    """One sentence where the same one goes for all."""
    if len(set(map(str, found))) == 1 and isinstance(found[0], str):
        return [Text(found[0])]
    return blocks
