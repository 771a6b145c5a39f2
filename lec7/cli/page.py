"""From folders of runs and sweeps to the page about them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.report.page import Predicted, Subject
    from lec7.sweep.folder import Found

LANES = 5
"""Settings of a sweep that the page has curves of."""

MOST_NAMES = 4
"""Runs that the title names."""

NOT_ASKED = "Predictions were not asked for: the page was made with --no-predictions."
LANE = "A lane of a sweep keeps no parameters, so there are no predictions."
LANES_LIE = "Lanes of a sweep share a program; each is whole on a device."


def write(
    paths: Sequence[Path], sweeps: Mapping[Path, Found], output: Path, checkpoint: str = "latest", ask: bool = True
) -> None:
    """Writes the page about runs and sweeps, and says what was written.

    Args:
        paths: folders of runs and sweeps.
        sweeps: what came out of those that are sweeps.
        output: the file.
        checkpoint: which one of each run is asked for predictions: "latest", "best" or a step.
        ask: whether any is.

    Raises:
        InputError: a folder is no run, or the file is no page of lec7's or can't be written.
    """
    from lec7.report.page import Swept, page

    refuse_foreign(output)
    subjects: list[Subject] = []
    swept = []
    called = names(paths)
    for path, name in called.items():
        if path in sweeps:
            found = sweeps[path]
            lanes = _lanes(path, f"{name}, " if len(paths) > 1 else "", found)
            swept.append(Swept(found.results, name, found.command, len(lanes)))
            subjects += lanes
        else:
            subjects.append(_run(path, name, checkpoint, ask))
            for lack in _lacks(subjects[-1], ask):
                print(f"{name}: {lack}")
    title = ", ".join(called.values()) if len(called) <= MOST_NAMES else f"{len(called)} runs"
    text = page(title, subjects, swept)
    unfinished = output.with_name(f"{output.name}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(output)
    except OSError as error:
        raise InputError(f"{output} can't be written: {error.strerror}; give another --output") from None
    print(f"wrote {output}, {output.stat().st_size / 1e6:.1f} MB: one file that needs no network")


def names(paths: Sequence[Path]) -> dict[Path, str]:
    """What runs are called: by their folder, or by its whole path where several folders have the same name.

    >>> names([Path("runs/a"), Path("runs/b"), Path("old/b")])
    {PosixPath('runs/a'): 'a', PosixPath('runs/b'): 'runs/b', PosixPath('old/b'): 'old/b'}
    """
    known = Counter(path.resolve() for path in paths)
    if twice := [path for path, count in known.items() if count > 1]:
        raise InputError(f"{twice[0]} is given twice, expected different runs")
    called = Counter(path.resolve().name for path in paths)
    return {path: name if called[name := path.resolve().name] == 1 else str(path) for path in paths}


def refuse_foreign(output: Path) -> None:
    """Refuses to write over what is no page of lec7's."""
    from lec7.report.page import is_page

    if output.is_dir():
        raise InputError(f"--output is {output}, a folder, expected a file, such as {output / 'report.html'}")
    if output.exists() and not is_page(output):
        raise InputError(f"{output} was not written by lec7 report, and so is not overwritten; give another --output")


def _lanes(path: Path, prefix: str, found: Found) -> list[Subject]:
    """The best lanes of a sweep, whose names begin with `prefix`."""
    from lec7.report.page import Subject, of_sweep
    from lec7.sweep import config_of

    return [Subject(run, LANE, LANES_LIE) for run in of_sweep(found.results, prefix, config_of(path), LANES)]


def _run(path: Path, name: str, checkpoint: str, ask: bool) -> Subject:
    """A run, with predictions and the places of its state where the run can be built again."""
    from lec7.report.page import Subject, of_run, sharding

    run = of_run(path, name)
    mesh, members = run.settings.get("mesh"), run.settings.get("members") or 1
    where = f"Mesh {mesh}." if mesh else "It was trained on one device, which has the whole state."
    if members > 1:
        where = f"{members} models were trained in one program; each is whole on a device."
    if not ask:
        return Subject(run, NOT_ASKED, f"{where} Its arrays are told where predictions are." if mesh else where)
    built, problem = _built(path)
    if problem:
        return Subject(run, problem, f"{where} Where its arrays lay is not known: {problem}" if mesh else where)
    try:
        predicted = _predicted(path, built, checkpoint)
    except InputError as error:
        predicted = f"There are no predictions: {error}."
    return Subject(run, predicted, sharding(built, mesh, run.devices) if mesh else where)


def _lacks(subject: Subject, asked: bool) -> list[str]:
    """What a reader would look for in vain: what is damaged, and predictions that were asked for."""
    no_predictions = [subject.predicted] if asked and isinstance(subject.predicted, str) else []
    return [*subject.run.notes, *no_predictions]


def _built(path: Path) -> tuple[Any, str]:
    """What a run is of; or None, and a sentence that says why it can't be built again."""
    from lec7 import experiment
    from lec7.cli.build import rebuild

    try:
        return rebuild(experiment.RunFolder(path)), ""
    except (InputError, OSError, ImportError) as error:  # a data set, or a package, may be gone
        return None, f"There are no predictions: {error}."


def _predicted(path: Path, built: Any, checkpoint: str) -> Predicted:
    from lec7 import experiment
    from lec7.cli.build import restored
    from lec7.experiment.evaluation import kinds
    from lec7.report.page import Predicted, predict

    folder = experiment.RunFolder(path)
    found, config = restored(folder, built, checkpoint), folder.config
    notes = [
        f"The checkpoint of step {step} is damaged ({reason}), so the one before was asked."
        for step, reason in found.damaged.items()
    ]
    return Predicted(
        judged=predict(built, found.state, config.get("classes")),
        source=_to_look_at(config, built),
        step=found.step,
        parameters=kinds(found.state)[0],
        members=config.get("members", 1),
        notes=tuple(notes),
    )


def _to_look_at(config: Mapping[str, Any], built: Any) -> Any:
    """The test examples as a person wants to see them: of a fine-tuned network the images, and not their features."""
    if "classes" not in config:
        return built.test
    from lec7 import experiment
    from lec7.experiment.file import as_float32

    file = experiment.load(Path(config["experiment"]))
    hp = as_float32(file.restore(config["hyperparameters"]))
    return sys.modules[file.build.__module__].prepare(hp).images.test
