"""The section about what runs get right and wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lec7.report.page import charts
from lec7.report.page.blocks import Block, Charts, Example, Gallery, Heading, Section, Sorted, Text
from lec7.report.page.pictures import pictures
from lec7.report.page.predictions import Predicted, bins, calibration_error
from lec7.report.page.sections import Subject
from lec7.report.page.tables import Cell, Table, table
from lec7.report.transfer import Judged

MOST_WRONG = 18
"""Examples that are shown."""

MOST_CLASSES = 60
"""Of a confusion matrix that is drawn."""

MOST_TEXTS = 20
"""Classes of a matrix whose counts are written into it."""

MOST_PAIRS = 20
"""Pairs of classes that are told."""


def predictions(subjects: Sequence[Subject]) -> Section:
    """Confusion matrix, reliability, classes and the examples that were most wrong, run by run."""
    reasons = {subject.predicted for subject in subjects if isinstance(subject.predicted, str)}
    if len(reasons) == 1 and all(isinstance(subject.predicted, str) for subject in subjects):
        return Section("Predictions", [Text(reasons.pop())])
    blocks: list[Block] = []
    for subject in subjects:
        if len(subjects) > 1:
            blocks.append(Heading(subject.run.name))
        found = subject.predicted
        blocks += [Text(found)] if isinstance(found, str) else _of_run(found)
    return Section("Predictions", blocks)


def _of_run(found: Predicted) -> list[Block]:
    judged, reliability = found.judged, bins(found.judged)
    asked = f"{found.members} models together, {found.parameters}" if found.members > 1 else found.parameters
    blocks: list[Block] = [
        Text(
            f"{judged.accuracy:.2%} of {len(judged.labels):,} test examples are right, by the checkpoint of step "
            f"{found.step:,} (parameters: {asked}). The expected calibration error is "
            f"{calibration_error(reliability):.4f}."
        ),
        *(Text(note) for note in found.notes),
    ]
    drawn = [charts.reliability(reliability, len(judged.labels))]
    count = len(judged.classes)
    if count <= MOST_CLASSES:
        drawn.insert(0, charts.confusion(judged.confusion, judged.classes, count <= MOST_TEXTS))
    else:
        blocks.append(Text(f"A matrix of {count} classes is too large to be drawn; the tables tell what it has."))
    blocks += [
        Charts(drawn),
        Text(
            "Confusion: a row is a true class, and the stronger a square, the larger its part of that class. "
            "Reliability: a point is the examples of one of 15 bins of confidence, the larger the more; below the "
            "diagonal the model is too sure of itself."
        ),
        Sorted(classes(judged)),
    ]
    pairs = confused(judged)
    if pairs.rows:
        blocks.append(Sorted(pairs))
    return [*blocks, *_most_wrong(found)]


def classes(judged: Judged) -> Table:
    """Examples, recall and precision of each class."""
    counts = judged.confusion
    right, true, said = counts.diagonal(), counts.sum(1), counts.sum(0)
    rows = (
        (name, int(n), int(hits), _percent(hits, n), _percent(hits, called))
        for name, n, hits, called in zip(judged.classes, true, right, said, strict=True)
    )
    return table("Classes", ("class", "examples#", "right#", "recall [%]#", "precision [%]#"), rows)


def confused(judged: Judged) -> Table:
    """The pairs of classes that were taken for each other most often."""
    wrong = judged.confusion * (1 - np.eye(len(judged.classes), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j]]
    rows = (
        (judged.classes[i], judged.classes[j], int(wrong[i, j]), _percent(wrong[i, j], judged.confusion[i].sum()))
        for i, j in pairs
    )
    return table("What is confused most often", ("true class", "said", "examples#", "of the class [%]#"), rows)


def _most_wrong(found: Predicted) -> list[Block]:
    judged, wrong = found.judged, found.judged.most_wrong
    heading = Heading("Examples that were most wrong")
    if not len(wrong):
        return [heading, Text("No test example is wrong.")]
    places = wrong[:MOST_WRONG]
    p = judged.probabilities
    shown = pictures(found.source, places)
    captions = [
        (
            f"{judged.classes[judged.labels[place]]} ({p[place, judged.labels[place]]:.1%})",
            f"{judged.classes[judged.said[place]]} ({p[place].max():.1%})",
        )
        for place in places
    ]
    words = (
        f"{len(wrong)} are wrong; those come first whose true class was given the least chance. {shown.told}".strip()
    )
    if not shown.uris:
        rows = ((int(place), *caption) for place, caption in zip(places, captions, strict=True))
        return [heading, Text(words), Sorted(table("Most wrong", ("example#", "true class", "said"), rows))]
    examples = [Example(uri, *caption) for uri, caption in zip(shown.uris, captions, strict=True)]
    return [heading, Text(words), Gallery(examples)]


def _percent(part: Any, whole: Any) -> Cell:
    """A share with one decimal; empty of nothing."""
    value = 100 * float(part) / float(whole) if whole else None
    return Cell("" if value is None else f"{value:.1f}", value)
