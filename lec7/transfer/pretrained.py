"""A pretrained network by name: model, weights and what its images have to be, in one piece."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from lec7 import models
from lec7.augment import Preprocessing
from lec7.errors import InputError, nearest
from lec7.models import Model, Variables
from lec7.transfer.families import FAMILIES, Family
from lec7.transfer.graft import Report, graft
from lec7.transfer.load import load
from lec7.transfer.surgery import start_from
from lec7.typing import ArrayLike, Batch


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network.

    Attributes:
        name: of its family.
        model: from images, preprocessed, to logits; it begins at the variables.
        variables: the weights.
        preprocessing: from photographs to what the network was trained on.
        report: where each weight went; `print(report)` is a table.
    """

    name: str
    model: Model
    variables: Variables
    preprocessing: Preprocessing
    report: Report

    def inputs(self, batch: Batch) -> jax.Array:
        """What the model sees of a batch: its `"image"`, preprocessed. For `make_step` and `Experiment`."""
        return self.preprocessing(batch["image"])

    def __repr__(self) -> str:
        return f"Pretrained({self.name}: {self.report.summary})"


def pretrained(name: str, weights: str | Path | Mapping[str, ArrayLike] | None = None, **options: Any) -> Pretrained:
    """The network of a family with its weights, all of which must arrive.

    Args:
        name: one of `FAMILIES`, such as `"efficientnet-lite0"`.
        weights: where they are, as `load` takes it, or arrays by the names of the family's files; by default where the
            family's come from.
        **options: of the function that builds the network, such as `keep_depth=0.9`.

    Returns:
        The model, its variables, and where each weight went.

    Raises:
        InputError: there is no such family, or its weights can't be read.
        GraftError: the weights are another network's.

    >>> pretrained("resnet19")
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    if name not in FAMILIES:
        raise InputError(f"no family {name!r}{nearest(name, list(FAMILIES))}; there are {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    loaded = weights if isinstance(weights, Mapping) else load(family.source if weights is None else weights)
    model, places = blank(family, **options)
    variables, report = graft(places, loaded, family.rules)
    return Pretrained(name, start_from(model, variables), variables, family.preprocessing, report)


def blank(family: Family, **options: Any) -> tuple[Model, Variables]:
    """The network of a family, and the places of its weights: their shapes, and no values.

    Args:
        family: one of `FAMILIES`.
        **options: of the function that builds the network.

    Returns:
        The model, and its variables as `ShapeDtypeStruct`s.

    >>> _, places = blank(FAMILIES["resnet18"])
    >>> places.params["head"]["kernel"].shape
    (512, 1000)
    """
    model = models.from_nnx(lambda rngs: family.build(family.classes, rngs=rngs, **options))
    return model, models.variables_of(model.outline)
