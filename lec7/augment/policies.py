"""Augmentations at random out of a table: RandAugment, TrivialAugment, AugMix.

Of each, pixels are moved first and once, as in all of this room, and not in the order in which operations are drawn.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import random
from lec7.augment import colour
from lec7.augment.operation import Drawn, Operation, uniform
from lec7.augment.sample import resample
from lec7.augment.warp import Affine, Frame, compose
from lec7.ranges import NOT_NEGATIVE, POSITIVE, check, check_count
from lec7.typing import Key, Scalar

BINS = 31
"""Magnitudes go from 0 to 30."""


class Table(NamedTuple):
    """What each operation does at the largest magnitude.

    Attributes:
        shear: tangent of the angle.
        translate: part of the image's height or width; or pixels, where it is more than 1.
        rotate: degrees.
        factor: by how much brightness, saturation, contrast and sharpness change from 1.
        bits: how many bits posterize takes away.
        with_colours: whether those four are in the table.
    """

    shear: float
    translate: float
    rotate: float
    factor: float
    bits: int
    with_colours: bool = True


_STILL = 1
"""Operations that do nothing: the first."""
_MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_Painter = Callable[[jax.Array, jax.Array], jax.Array]
"""From an image and an amount to an image."""
_PAINTS: dict[str, _Painter] = {
    "posterize": lambda image, bits: colour.posterized(image, 8 - jnp.round(bits)),
    "solarize": lambda image, amount: colour.solarized(image, 1 - amount),
    "autocontrast": lambda image, _: colour.stretched(image),
    "equalize": lambda image, _: colour.equalized(image),
    "brightness": lambda image, amount: colour.blended(image, jnp.zeros_like(image), 1 + amount),
    "saturation": lambda image, amount: colour.blended(image, colour.colourless(image), 1 + amount),
    "contrast": lambda image, amount: colour.blended(image, colour.flat(image), 1 + amount),
    "sharpness": lambda image, amount: colour.blended(image, colour.blurred(image), 1 + amount),
}
_COLOURS = 4
"""The last of them are those of colour."""


def randaugment(layers: int = 2, magnitude: Scalar = 9) -> list[Operation]:
    """So many operations of fourteen, each with the same chance, at one magnitude; to either side at random.

    Source: Cubuk et al., "RandAugment", 2020, with torchvision's table.

    Args:
        layers: how many operations.
        magnitude: from 0 to 30; may be traced.

    Raises:
        InputError: `layers` is no int of at least 1, or `magnitude` known and out of range.

    >>> from lec7 import augment
    >>> [operation.name for operation in augment.randaugment(2, 9)]
    ['randaugment', 'randaugment']
    """
    check_count("layers", layers, "how many operations are done to an image")
    check("magnitude", magnitude, NOT_NEGATIVE, "how strong they are, from 0 to 30")
    table = Table(shear=0.3, translate=150 / 331, rotate=30, factor=0.9, bits=4)
    return [_layer("randaugment", table, lambda key: jnp.asarray(magnitude, jnp.float32) / (BINS - 1))] * layers


def trivialaugment() -> list[Operation]:
    """One operation of fourteen at a magnitude at random, each with the same chance.

    Source: Müller and Hutter, "TrivialAugment", 2021, the wide table.

    >>> from lec7 import augment
    >>> len(augment.trivialaugment())
    1
    """
    table = Table(shear=0.99, translate=32, rotate=135, factor=0.99, bits=6)
    return [_layer("trivialaugment", table, lambda key: jnp.floor(uniform(key, "bin", 0, BINS)) / (BINS - 1))]


def augmix(severity: float = 3.0, width: int = 3, depth: int = 3, alpha: float = 1.0) -> Operation:
    """The image and a mixture of several that went through chains of operations, mixed at random.

    Each chain has one to `depth` operations of nine (those of colour are left out), at a magnitude from 0.1 to
    `severity` of ten.

    Source: Hendrycks et al., "AugMix", 2020. Posterize takes away at most four bits.

    Args:
        severity: of operations, more than 0, at most 10.
        width: how many chains.
        depth: operations of a chain at most.
        alpha: of the Dirichlet distribution of the chains' weights, and of the Beta distribution of the mixture's.

    Raises:
        InputError: `severity` or `alpha` is out of range, or `width` or `depth` no int of at least 1.

    >>> from lec7 import augment
    >>> augment.augmix().name
    'augmix'
    """
    check("severity", severity, POSITIVE, "how strong operations are, of ten")
    check("alpha", alpha, POSITIVE, "how even the mixture is")
    check_count("width", width, "how many chains are mixed")
    check_count("depth", depth, "how many operations a chain has at most")
    table = Table(shear=0.3, translate=1 / 3, rotate=30, factor=0.0, bits=4, with_colours=False)
    layer = _layer("augmix", table, lambda key: uniform(key, "level", min(0.1, severity), severity) / 10)
    move, over = layer.leg, layer.paint
    assert move is not None
    assert over is not None

    def draw(key: Key, frame: Frame) -> dict[str, Any]:
        def chain(i: jax.Array) -> Drawn:
            own = random.stream(key, "chain", i)
            layers = jax.vmap(lambda j: layer.draw(random.stream(own, "layer", j), frame))(jnp.arange(depth))
            long = jnp.floor(uniform(own, "depth", 1, depth + 1))
            # What is beyond a chain's end does nothing.
            return layers | {"which": jnp.where(jnp.arange(depth) < long, layers["which"], 0)}

        return {
            "chains": jax.vmap(chain)(jnp.arange(width)),
            "weights": jax.random.dirichlet(random.stream(key, "weights"), jnp.full(width, alpha, jnp.float32)),
            "original": jax.random.beta(random.stream(key, "original"), alpha, alpha),
        }

    def paint(drawn: dict[str, Any], image: jax.Array) -> jax.Array:
        frame = Frame(*image.shape[:2])

        def add(total: jax.Array, chain: tuple[Drawn, jax.Array]) -> tuple[jax.Array, None]:
            layers, weight = chain
            each = [jax.tree.map(lambda x, j=j: x[j], layers) for j in range(depth)]
            new = resample(image, compose([move(one, frame) for one in each]), frame)
            for one in each:
                new = over(one, new)
            return total + weight * new, None

        mixture, _ = lax.scan(add, jnp.zeros_like(image), (drawn["chains"], drawn["weights"]))
        return drawn["original"] * image + (1 - drawn["original"]) * mixture

    return Operation("augmix", draw, paint=paint, whole_image=True, branches=True)


def _layer(name: str, table: Table, magnitude: Callable[[Key], jax.Array]) -> Operation:
    """One operation of a table: none, one of those that move pixels, or one of those that paint."""
    painters = list(_PAINTS.values())[: None if table.with_colours else -_COLOURS]

    def draw(key: Key, frame: Frame) -> Drawn:
        sign = jnp.where(jax.random.bernoulli(random.stream(key, "sign")), -1.0, 1.0)
        return {
            "which": jax.random.randint(random.stream(key, "which"), (), 0, _STILL + len(_MOVES) + len(painters)),
            "magnitude": magnitude(key),
            "sign": sign,
        }

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        def amount(move: str, most: Scalar) -> jax.Array:
            is_it = drawn["which"] == _STILL + _MOVES.index(move)
            return jnp.where(is_it, drawn["sign"] * drawn["magnitude"] * most, 0.0)

        def way(move: str, size: Scalar) -> jax.Array:
            return amount(move, table.translate * (size if table.translate <= 1 else 1))

        angle = amount("rotate", table.rotate * math.pi / 180)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return Affine(
            yy=c,
            yx=s - amount("shear_y", table.shear),
            y0=-way("translate_y", frame.height),
            xy=-s - amount("shear_x", table.shear),
            xx=c,
            x0=-way("translate_x", frame.width),
        )

    def paint(drawn: Drawn, image: jax.Array) -> jax.Array:
        amounts = [table.bits, 1.0, 0.0, 0.0, *[drawn["sign"] * table.factor] * _COLOURS][: len(painters)]

        def branch(painter: _Painter, most: Scalar) -> Callable[[jax.Array], jax.Array]:
            return lambda image: painter(image, drawn["magnitude"] * most).astype(image.dtype)

        branches = [lambda image: image, *map(branch, painters, amounts)]
        return lax.switch(jnp.maximum(drawn["which"] - len(_MOVES) - _STILL + 1, 0), branches, image)

    return Operation(name, draw, leg, paint, whole_image=True, branches=True)
