"""The lecture's table: what to train of a pretrained network, and how fast, for how much data of which kind."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import optax

from lec7 import optim, regularize, tree
from lec7.errors import InputError, nearest
from lec7.models import Model
from lec7.ranges import FACTOR, NOT_NEGATIVE, POSITIVE, WHOLE, check
from lec7.regularize import Penalty
from lec7.transfer.surgery import freeze_statistics
from lec7.typing import Params

BatchNorm = Literal["frozen", "trained"]

STATISTICS = {"frozen": "keep the statistics of the pretraining", "trained": "take the statistics of the new images"}
KNOWS = "because what lies above knows the images of the pretraining"

FEW = 100
"""Examples per class below which the lecture's "very little data" is meant here; `plan(few=...)` says otherwise."""


class Part(NamedTuple):
    """What happens to one stage of the network.

    Attributes:
        stage: its name, such as `"blocks/10"`.
        rate: its learning rate; 0 is frozen.
        begins: the step from which on it is trained.
    """

    stage: str
    rate: float
    begins: int = 0


@dataclass(frozen=True)
class Plan:
    """What to train, from which step on and how fast; `print(plan)` is a table, and says why.

    Attributes:
        at: the stage that the classifier looks at: `"pool"` is the network's own end, and at any other it ends there.
        parts: the stages up to there, and the head, from images to logits.
        batch_norm: whether batch norms stay as in testing, with the statistics of the pretraining, or are trained.
        l2_sp: rate of the squared distance to the pretrained weights.
        l2: rate of the new head's squared weights.
        why: for each choice a sentence.
    """

    at: str
    parts: tuple[Part, ...]
    batch_norm: BatchNorm
    l2_sp: float
    l2: float
    why: tuple[str, ...]

    @property
    def below(self) -> str | None:
        """The last of the stages that are frozen from the images on: what it gives can be computed once."""
        still = list(itertools.takewhile(lambda part: part.rate == 0, self.parts))
        if len(still) >= len(self.parts) - 1:
            return "pool"
        return still[-1].stage if still else None

    def with_rates(self, rates: Mapping[str, float]) -> "Plan":
        r"""The plan with other learning rates; 0 freezes.

        Args:
            rates: from regular expressions over whole names of stages to rates, the first match counts:
                `{r"blocks/1\d": 1e-5}`.

        Raises:
            InputError: an expression matches no stage, or a rate is negative.
        """
        for pattern, rate in rates.items():
            if not any(re.fullmatch(pattern, part.stage) for part in self.parts):
                names = [part.stage for part in self.parts]
                raise InputError(f"no stage matches {pattern!r}{nearest(pattern, names)}; there are {', '.join(names)}")
            check(pattern, rate, NOT_NEGATIVE, "a learning rate, or 0 to freeze")

        def rated(part: Part) -> Part:
            match = next((rate for pattern, rate in rates.items() if re.fullmatch(pattern, part.stage)), part.rate)
            return part._replace(rate=match)

        return replace(self, parts=tuple(map(rated, self.parts)))

    def optimizer(
        self, make: Callable[[float], optax.GradientTransformation] = optim.adam
    ) -> optax.GradientTransformationExtraArgs:
        """The plan as `optim.groups`.

        Args:
            make: from a stage's rate to its optimizer, of which each has its own: `optim.adam`, or one with a
                schedule, `lambda rate: optim.sgd(schedules.cosine(rate, 1000))`.
        """
        groups: dict[Part, list[str]] = {}
        for part in reversed(self.parts):
            groups.setdefault(part._replace(stage=""), []).append(part.stage)
        return optim.groups({_pattern(stages): _member(part, make) for part, stages in groups.items()})

    def model(self, model: Model) -> Model:
        """The model with its batch norms as planned."""
        return freeze_statistics(model) if self.batch_norm == "frozen" else model

    def penalty(self, reference: Params) -> Penalty | None:
        """L2-SP towards the pretrained weights, and L2 on the head; None where the plan has neither.

        Args:
            reference: the pretrained parameters.
        """
        trained = [part.stage for part in self.parts if part.rate > 0 and part.stage != "head"]
        terms = []
        if self.l2_sp and trained:
            kernels = "|".join(name for name in tree.paths(reference) if re.fullmatch(_pattern(trained), name))
            terms.append(regularize.l2_sp(reference, self.l2_sp, kernels))
        if self.l2:
            terms.append(regularize.l2(self.l2, "head/kernel"))
        return regularize.penalties(*terms) if terms else None

    def __str__(self) -> str:
        rows = []
        for still, group in itertools.groupby(self.parts, lambda part: part.rate == 0):
            parts = list(group)
            if still:
                ends = dict.fromkeys((parts[0].stage, parts[-1].stage))
                rows.append((" to ".join(ends), "frozen"))
            else:
                rows.extend((part.stage, f"{part.rate:<13.2g}  {part.begins}") for part in parts)
        width = max(len(stage) for stage, _ in rows)
        lines = [
            f"{'stage':<{width}}  learning rate  from step",
            *(f"{stage:<{width}}  {told}" for stage, told in rows),
        ]
        return "\n".join((*self.why, "", *lines))


def plan(
    similar: bool,
    examples_per_class: float,
    stages: Sequence[str],
    *,
    few: float = FEW,
    learning_rate: float = 1e-3,
    at: str | None = None,
    train_from: str | None = None,
    factor: float = 0.1,
    layer_decay: float = 0.9,
    head_first: int = 0,
    unfreeze_every: int = 0,
    batch_norm: BatchNorm = "frozen",
    l2_sp: float = 0.0,
    l2: float = 0.0,
) -> Plan:
    """The lecture's two-by-two table as a plan, of which each choice can be overridden.

    |                        | similar images                         | different images                           |
    |------------------------|----------------------------------------|--------------------------------------------|
    | few examples           | a linear classifier on the top         | a linear classifier on an earlier stage    |
    | many                   | fine-tune a few stages                 | fine-tune most of them                     |

    Source: lecture 7, "Transfer Learning with CNNs"; Razavian et al., "CNN Features off-the-shelf", 2014; rates that
    fall with depth and gradual unfreezing: Howard and Ruder, "Universal Language Model Fine-tuning", 2018.

    Args:
        similar: whether the images are like those that the network was trained on.
        examples_per_class: how many there are to train on.
        stages: of the network, from images to logits: `models.Network.stages`.
        few: examples per class below which there are few.
        learning_rate: the original one, with which the new head is trained.
        at: the stage that the classifier looks at; by default `"pool"`, or with few different images the block two
            thirds up.
        train_from: the first stage that is trained; by default the head alone with few examples, the upper quarter of
            the blocks with many similar ones, and all but the stem and the lowest quarter with different ones.
        factor: of the learning rate for what was pretrained: a tenth.
        layer_decay: of the rate from each stage to the one below.
        head_first: steps in which the head is trained alone.
        unfreeze_every: steps from the unfreezing of one stage to that of the one below.
        batch_norm: statistics of new images have to be learned over hundreds of steps (a momentum of 0.99), in which
            the classifier that training begins at is no good in testing.
        l2_sp: rate of the squared distance to the pretrained weights.
        l2: rate of the head's squared weights.

    Raises:
        InputError: there is no such stage; `train_from` lies beyond `at`; a number is out of range.

    >>> print(plan(similar=False, examples_per_class=5, stages=["stem", "blocks/0", "blocks/1", "blocks/2", "head"]))
    Few examples: 5 per class, where 100 are many. All that was pretrained stays; a linear classifier is learned.
    Different images: the classifier looks at blocks/1, because what lies above knows the images of the pretraining.
    Batch norms keep the statistics of the pretraining.
    <BLANKLINE>
    stage             learning rate  from step
    stem to blocks/1  frozen
    head              0.001          0
    """
    check("examples_per_class", examples_per_class, POSITIVE, "how many there are to train on")
    check("learning_rate", learning_rate, POSITIVE, "that of the head")
    check("layer_decay", layer_decay, FACTOR, "what a stage has of the rate of the one above")
    for name, value in (("factor", factor), ("l2_sp", l2_sp), ("l2", l2)):
        check(name, value, NOT_NEGATIVE, "a factor or a rate")
    for name, value in (("head_first", head_first), ("unfreeze_every", unfreeze_every)):
        check(name, value, WHOLE, "a number of steps")
    blocks = [stage for stage in stages if stage.startswith("blocks/")]
    if not blocks or stages[-1] != "head":
        raise InputError(f"the stages are {', '.join(stages)}, expected those of a models.Network, which end in 'head'")
    little = examples_per_class < few
    if at is None:
        at = blocks[(2 * len(blocks) - 1) // 3] if little and not similar else "pool"
    _place([*blocks, "stem", "pool"], at, "at")
    kept = [stage for stage in stages[: _place(stages, at, "at") + 1] if stage != "pool"]
    if train_from is None:
        train_from = "head" if little else blocks[-max(1, len(blocks) // 4)] if similar else blocks[len(blocks) // 4]
    first = _place([*kept, "head"], train_from, "train_from")

    parts = []
    for depth, stage in enumerate(reversed(kept)):
        trained = len(kept) - 1 - depth >= first
        rate = learning_rate * factor * layer_decay**depth if trained else 0.0
        parts.append(Part(stage, rate, head_first + depth * unfreeze_every if trained else 0))
    return Plan(
        at,
        (*reversed(parts), Part("head", learning_rate)),
        batch_norm,
        l2_sp,
        l2,
        why=(
            f"{'Few' if little else 'Many'} examples: {examples_per_class:g} per class, where {few:g} are many. "
            + _why_trained(train_from, factor, layer_decay),
            f"{'Similar' if similar else 'Different'} images: the classifier looks at "
            + (
                "what the network's own one looked at."
                if at == "pool"
                else f"{at}, because what lies above knows the images of the pretraining."
            ),
            f"Batch norms {STATISTICS[batch_norm]}.",
        ),
    )


def _why_trained(train_from: str, factor: float, layer_decay: float) -> str:
    if train_from == "head":
        return "All that was pretrained stays; a linear classifier is learned."
    return (
        f"From {train_from} on all is trained, with {factor:g} of the head's learning rate, and each "
        f"stage with {layer_decay:g} of that of the stage above."
    )


def _place(stages: Sequence[str], stage: str, name: str) -> int:
    if stage not in stages:
        raise InputError(f"{name} is {stage!r}{nearest(stage, list(stages))}; there are {', '.join(stages)}")
    return list(stages).index(stage)


def _pattern(stages: Sequence[str]) -> str:
    """A regular expression over the paths of the parameters of some stages."""
    return f"({'|'.join(stages)})/.*" if len(stages) > 1 else f"{stages[0]}/.*"


def _member(part: Part, make: Callable[[float], Any]) -> optax.GradientTransformation:
    if part.rate == 0:
        return optim.frozen()
    optimizer = make(part.rate)
    return optim.from_step(optimizer, part.begins) if part.begins else optimizer
