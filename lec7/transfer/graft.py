"""Loaded weights to a model's places, with a report of where each went."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import tree
from lec7.errors import InputError, nearest
from lec7.table import table
from lec7.transfer.layouts import AS_IS, Layout
from lec7.typing import PyTree

Target = TypeVar("Target", bound=PyTree)


class Rule(NamedTuple):
    r"""Where weights go: a regular expression over whole names in the file, and templates of names in the model.

    Attributes:
        pattern: of a weight's name in the file.
        to: its name in the model, or several where the layout splits it; `\1` is the expression's first group. None
            leaves the weight out, and says so in the rules rather than in silence.
        layout: how it is laid out anew.

    >>> Rule(r"blocks\.(\d+)\.fc\.bias", r"blocks/\1/linear/bias").places("blocks.3.fc.bias")
    ('blocks/3/linear/bias',)
    """

    pattern: str
    to: str | tuple[str, ...] | None
    layout: Layout = AS_IS

    def places(self, name: str) -> tuple[str, ...] | None:
        """The places in the model of the weight called `name`; None where the pattern doesn't match it."""
        templates = (self.to,) if isinstance(self.to, str) else self.to or ()
        try:
            match = re.fullmatch(self.pattern, name)
            return None if match is None else tuple(match.expand(template) for template in templates)
        except re.error as error:
            raise InputError(
                f"the rule from {self.pattern!r} to {self.to!r} is no regular expression with its groups: {error}"
            ) from None


class Moved(NamedTuple):
    """A weight that arrived.

    Attributes:
        name: in the model.
        source: its name in the file.
        shape: in the model.
        layout: how it was laid out anew, in words; empty where it was not.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    layout: str


class Mismatch(NamedTuple):
    """A weight that did not fit.

    Attributes:
        name: in the model.
        source: its name in the file.
        reason: in words.
    """

    name: str
    source: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What became of each weight; `print(report)` is a table.

    Attributes:
        loaded: those that arrived.
        missing: names in the model that nothing was for; they keep the values that they had.
        unexpected: names in the file that no rule is for, or whose place the model does not have.
        mismatched: those that have another shape or type than their place.
        left_out: names in the file that a rule leaves out.
    """

    loaded: tuple[Moved, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def transposed(self) -> tuple[Moved, ...]:
        """Those of the loaded whose layout changed."""
        return tuple(moved for moved in self.loaded if moved.layout)

    @property
    def summary(self) -> str:
        """The numbers of each, in a line."""
        size = sum(int(np.prod(moved.shape)) for moved in self.loaded)
        parts = [f"{len(self.loaded)} loaded ({size:,} numbers, {len(self.transposed)} laid out anew)"]
        for what in ("missing", "unexpected", "mismatched", "left_out"):
            if found := getattr(self, what):
                parts.append(f"{len(found)} {what.replace('_', ' ')}")
        return ", ".join(parts)

    def __str__(self) -> str:
        rows = [
            ("in the model", "shape", "in the file", ""),
            *((m.name, " x ".join(map(str, m.shape)) or "scalar", m.source, m.layout) for m in self.loaded),
            *((m.name, "", m.source, f"DOES NOT FIT: {m.reason}") for m in self.mismatched),
            *((name, "", "", "MISSING in the file") for name in self.missing),
            *(("", "", name, "UNEXPECTED in the file") for name in self.unexpected),
            *(("", "", name, "left out by a rule") for name in self.left_out),
        ]
        return f"{table(rows)}\n{self.summary}"


class GraftError(InputError):
    """Weights and model don't fit; `report` says what became of each weight."""

    def __init__(self, message: str, report: Report):
        super().__init__(message)
        self.report = report


def graft(
    params: Target,
    loaded: Mapping[str, Any],
    rules: Sequence[Rule],
    *,
    missing: Sequence[str] = (),
    unexpected: Sequence[str] = (),
) -> tuple[Target, Report]:
    r"""A model's arrays with loaded ones in their places: the first rule that matches a name says where it goes.

    Nothing is half-loaded: where weights and model differ in what `missing` and `unexpected` don't admit, it raises.

    Args:
        params: nested dicts of arrays, or `Variables`, whose params and state are one; or their `ShapeDtypeStruct`s,
            as `jax.eval_shape(model.init, ...)` gives them, where nothing is missing.
        loaded: arrays by name, as `load` gives them.
        rules: in order.
        missing: regular expressions over whole names in the model that the file need not have.
        unexpected: likewise over names in the file that the model need not have.

    Returns:
        The arrays of the model, new ones where they were loaded, of the model's dtypes; and the report.

    Raises:
        GraftError: a weight is missing or unexpected and was not said to be, has another shape than its place, or goes
            where another one went; the error has the report.

    >>> from lec7.transfer.layouts import LINEAR
    >>> params = {"head": {"kernel": np.zeros((4, 2)), "bias": np.zeros(2)}}
    >>> loaded = {"fc.weight": np.ones((2, 4)), "fc.bias": np.ones(2)}
    >>> rules = [Rule(r"fc\.weight", "head/kernel", LINEAR), Rule(r"fc\.bias", "head/bias")]
    >>> new, report = graft(params, loaded, rules)
    >>> print(report)
    in the model  shape  in the file
    head/kernel   4 x 2  fc.weight    transposed
    head/bias     2      fc.bias
    2 loaded (10 numbers, 1 laid out anew)
    """
    places = _places(params)
    values: dict[str, Any] = {}
    moved, mismatched, strangers, left_out = [], [], [], []
    for source, array in loaded.items():
        rule, names = next(((rule, to) for rule in rules if (to := rule.places(source)) is not None), (None, ()))
        if rule is None or not all(name in places for name in names):
            strangers.append(source)
        elif not names:
            left_out.append(source)
        for name, part in _parts(rule, [name for name in names if name in places], array):
            reason = part if isinstance(part, str) else _misfit(part, places[name])
            if name in values:
                reason = f"{values[name][0]} went there as well"
            if reason:
                mismatched.append(Mismatch(name, source, reason))
            else:
                values[name] = (source, part)
                moved.append(Moved(name, source, np.shape(part), rule.layout.name if rule else ""))
    taken = {*values, *(m.name for m in mismatched)}
    absent = tuple(name for name in places if name not in taken)
    report = Report(tuple(moved), absent, tuple(strangers), tuple(mismatched), tuple(left_out))
    _check(report, places, missing, unexpected)

    def arrived(name: str, place: Any) -> Any:
        return place if name not in values else jnp.asarray(values[name][1], jax.dtypes.canonicalize_dtype(place.dtype))

    return _map_places(arrived, params), report


def _parts(rule: Rule | None, names: list[str], array: Any) -> Iterator[tuple[str, Any]]:
    """Each place with the part of the array that goes there, or with a text that says why it can't."""
    if rule is None or not names:
        return
    try:
        changed = rule.layout.change(np.asarray(array))
        parts: list[Any] = changed if isinstance(changed, list) else [changed]
        if len(parts) != len(names):
            raise ValueError(f"{len(parts)} parts for {len(names)} places")
    except (ValueError, IndexError) as error:
        shape = np.shape(array)
        parts = [f"shape {shape} can't be laid out anew ({rule.layout.name}): {error}"] * len(names)
    yield from zip(names, parts, strict=True)


def _misfit(array: np.ndarray, place: Any) -> str:
    """Why an array does not fit its place; empty where it does."""
    if array.shape != place.shape:
        return f"shape {array.shape}, expected {place.shape}"
    if jnp.issubdtype(place.dtype, np.floating) != jnp.issubdtype(array.dtype, np.floating):
        return f"{array.dtype}, expected {place.dtype}"
    return ""


def _check(report: Report, places: Mapping[str, Any], missing: Sequence[str], unexpected: Sequence[str]) -> None:
    def not_in(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
        return [name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)]

    abstract = [name for name in report.missing if isinstance(places[name], jax.ShapeDtypeStruct)]
    faults = [
        (f"{m.source} does not fit {m.name}: {m.reason}" for m in report.mismatched),
        (f"nothing is for {name}{_hint(name, report)}" for name in not_in(missing, report.missing)),
        (f"there is no place for {name}" for name in not_in(unexpected, report.unexpected)),
        (f"{name} has no value to keep: give arrays, not their shapes" for name in abstract),
    ]
    if found := [fault for kind in faults for fault in kind]:
        more = f"; and {len(found) - 4} more" if len(found) > 4 else ""
        raise GraftError(
            f"the weights don't fit the model: {'; '.join(found[:4])}{more}. In all {report.summary}; "
            "what may be missing is said by missing=[...], what may be left over by unexpected=[...]",
            report,
        )


def _hint(name: str, report: Report) -> str:
    return nearest(name, report.unexpected)


def _places(params: PyTree) -> dict[str, Any]:
    """The places of a model by name; `Variables` are two trees whose names are one."""
    trees = params if isinstance(params, tuple) else (params,)
    return {name: leaf for part in trees for name, leaf in tree.named(part).items()}


def _map_places(function: Callable[[str, Any], Any], params: PyTree) -> PyTree:
    if isinstance(params, tuple):
        return type(params)(*(tree.map_named(function, part) for part in params))
    return tree.map_named(function, params)
