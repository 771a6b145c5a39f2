"""How far a run came, as its folder tells: whether it finished or not, and whatever is damaged."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from lec7.errors import InputError
from lec7.experiment.folder import RunFolder

UNFINISHED = "not finished"
"""The status of a run that has no result: it is being trained, or was killed."""

DAMAGED = "damaged"
"""The status of a run whose files can't be read."""


class Ending(NamedTuple):
    """How far a run came.

    Attributes:
        status: as in its result (`"finished"`, `"interrupted"`, `"diverged"`), or one of the two above.
        step: its latest.
        message: what there is to say about that.
        figures: by name. `"test/..."` are of the latest evaluation, `"best test/..."` the best of all evaluations; then
            `"step"`, `"seconds"` and the usual `"examples_per_second"`. What is not finite is a text, as in JSON.
    """

    status: str
    step: int
    message: str
    figures: Mapping[str, Any]


def ending(run: RunFolder) -> Ending:
    """How far a run came, and its figures."""
    try:
        result: dict[str, Any] | None = run.result
        rows = run.metrics()
    except InputError as error:
        return Ending(DAMAGED, 0, str(error), {})
    if result is None:
        result = {"status": UNFINISHED, "step": rows[-1]["step"] if rows else 0, "metrics": {}}
    evaluations = [row for row in rows if "test/loss" in row]
    latest = result["metrics"] or (evaluations[-1] if evaluations else {})
    found = {name: value for name, value in latest.items() if name != "step"}
    for name, best in {"test/accuracy": max, "test/loss": min}.items():
        if values := numbers(evaluations, name):
            found[f"best {name}"] = best(values)
    found["step"] = result["step"]
    if "seconds" in result:
        found["seconds"] = result["seconds"]
    if speeds := numbers(rows, "examples_per_second"):
        found["examples_per_second"] = median(speeds)  # the first rows wait for the compiler
    return Ending(result["status"], result["step"], result.get("message", ""), found)


def finite(value: Any) -> float | None:
    """A number of the log; None for one that is missing or is a text, which means that it was not finite.

    >>> finite(0.5), finite("nan"), finite(None), finite(float("inf")), finite(True)
    (0.5, None, None, None, None)
    """
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return value if number else None


def numbers(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The values of a figure that are finite."""
    return [value for row in rows if (value := finite(row.get(name))) is not None]
