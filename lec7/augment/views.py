"""Several views of an image in testing, whose answers are one (lecture 7, "average over a fixed set of crops")."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from lec7.augment.geometry import Size
from lec7.errors import InputError, short
from lec7.ranges import array, check_count

Joined = Literal["probabilities", "logits", "outputs", "dense"]


class View(NamedTuple):
    """One way to look at images, and the way back for answers that have a place.

    Attributes:
        there: from images [n, height, width, channels] to others.
        back: from dense answers [n, height, width, k] to such of the images as they came; `None` where there is no way.
    """

    there: Callable[[jax.Array], jax.Array]
    back: Callable[[jax.Array, tuple[int, int]], jax.Array] | None


def mirrored() -> list[View]:
    """The image, and the image mirrored.

    >>> len(mirrored())
    2
    """
    return [View(lambda x: x, lambda y, size: y), View(lambda x: x[:, :, ::-1], lambda y, size: y[:, :, ::-1])]


def ten_crop(size: Size) -> list[View]:
    """The four corners and the middle, and all of them mirrored.

    Source: lecture 7, "10 crops: 4 corners + center, + flips"; Krizhevsky, Sutskever and Hinton, 2012.

    Args:
        size: of a crop.

    Raises:
        InputError: `size` is no number of pixels, nor two; when used, images that are smaller.

    >>> views = ten_crop(2)
    >>> [view.there(jnp.arange(9.0).reshape(1, 3, 3, 1))[0, 0, 0, 0].tolist() for view in views[:5]]
    [0.0, 1.0, 3.0, 4.0, 0.0]
    """
    height, width = size if isinstance(size, tuple) else (size, size)

    def crop(down: float, across: float, turned: bool) -> View:
        def there(images: jax.Array) -> jax.Array:
            _, tall, wide, _ = images.shape
            if tall < height or wide < width:
                raise InputError(
                    f"ten_crop takes {height} x {width} pixels of images of {tall} x {wide}; resize them first"
                )
            top, left = int(down * (tall - height)), int(across * (wide - width))
            part = images[:, top : top + height, left : left + width]
            return part[:, :, ::-1] if turned else part

        return View(there, None)

    places = ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))
    return [crop(down, across, turned) for turned in (False, True) for down, across in places]


def multi_scale(short_sides: Sequence[int], views: Sequence[View] | None = None) -> list[View]:
    """The image resized to several lengths of its shorter side, and of each some views.

    The lecture's recipe for testing a ResNet is `multi_scale((224, 256, 384, 480, 640), ten_crop(224))`.

    Source: lecture 7, "Resize image at 5 scales: {224, 256, 384, 480, 640}"; He et al., 2016.

    Args:
        short_sides: in pixels.
        views: of each of them; by default the whole.

    >>> len(multi_scale((224, 256, 384, 480, 640), ten_crop(224)))
    50
    """
    for side in short_sides:
        check_count("a short side", side, "a length in pixels")

    def scaled(side: int) -> View:
        def there(images: jax.Array) -> jax.Array:
            n, height, width, channels = images.shape
            short = min(height, width)
            return _resized(images, (n, round(height * side / short), round(width * side / short), channels))

        def back(answers: jax.Array, size: tuple[int, int]) -> jax.Array:
            return _resized(answers, (len(answers), *size, answers.shape[-1]))

        return View(there, back)

    return [_one_by_one(scaled(side), view) for side in short_sides for view in views or [_WHOLE]]


def test_time(
    answer: Callable[[jax.Array], Any],
    views: Sequence[View],
    how: Joined = "probabilities",  # noqa: PT028, which takes this for a test
) -> Callable[[jax.Array], jax.Array]:
    """The function that asks about several views of images and makes one answer of all.

    Views of one shape are asked about together, as one batch: of v views a model sees v times as many images.

    Source: lecture 7, "Testing: average a fixed set of crops".

    Args:
        answer: from images [n, height, width, channels] to floats [n, classes], or [n, height, width, k] that have a
            place: `lambda x: model.apply(variables, x, train=False)[0]`.
        views: see `ten_crop`, `multi_scale` and `mirrored`.
        how: `"probabilities"` for the mean softmax, `"logits"` for the softmax of the mean, `"outputs"` for the mean of
            anything, `"dense"` for the mean of answers that have a place, each brought back to where it belongs.

    Returns:
        A pure function of images, to be jitted.

    Raises:
        InputError: no such way, no views, or dense answers of views without a way back; when used, images that are no
            batch, or answers that are no array with a row for each.

    >>> together = test_time(lambda x: x.mean((1, 2)), ten_crop(2), "outputs")
    >>> together(jnp.arange(9.0).reshape(1, 3, 3, 1)).tolist()
    [[3.5999999046325684]]
    """
    if how not in get_args(Joined):
        raise InputError(f"how is {how!r}, expected one of {', '.join(map(repr, get_args(Joined)))}")
    if not views:
        raise InputError("there are no views; give such as augment.ten_crop(224)")
    if how == "dense" and any(view.back is None for view in views):
        raise InputError(
            "answers about crops have no way back to the whole image; use views such as augment.mirrored()"
        )

    def together(images: jax.Array) -> jax.Array:
        images = array("images", images, "an array of images")
        if images.ndim != 4:
            raise InputError(
                f"the images have shape {images.shape}, expected [n, height, width, channels]; a single one is "
                "images[None]"
            )
        seen = [view.there(images) for view in views]
        answers: dict[int, jax.Array] = {}
        for shape in dict.fromkeys(x.shape for x in seen):
            same = [i for i, x in enumerate(seen) if x.shape == shape]
            batch = jnp.concatenate([seen[i] for i in same])
            of_all = answer(batch)
            _check_answer(of_all, len(batch), 4 if how == "dense" else None)
            answers |= dict(zip(same, jnp.split(of_all, len(same)), strict=True))
        if how == "dense":
            size = images.shape[1], images.shape[2]
            backs = [view.back for view in views]
            answers = {i: back(answers[i], size) for i, back in enumerate(backs) if back is not None}
        if how == "probabilities":
            answers = {i: jax.nn.softmax(x) for i, x in answers.items()}
        mean = sum(answers.values(), start=jnp.zeros(())) / len(views)
        return jax.nn.softmax(mean) if how == "logits" else mean

    return together


_WHOLE = View(lambda x: x, lambda y, size: y)


def _check_answer(given: Any, n: int, axes: int | None) -> None:
    """Refuses what is no array with a row for each of n images, or not of so many axes."""
    if not hasattr(given, "shape"):
        raise InputError(
            f"the answer is a {type(given).__name__}, expected an array; of a model take the first of what it gives: "
            "lambda x: model.apply(variables, x, train=False)[0]"
        )
    if given.shape[:1] != (n,) or axes not in (None, given.ndim):
        wanted = "[n, height, width, k]" if axes == 4 else "[n, ...]"
        raise InputError(f"the answer about {n} images is {short(given)}, expected {wanted}: a row for each")


def _one_by_one(first: View, second: View) -> View:
    """A view of a view."""
    back, last = first.back, second.back
    if back is None or last is None:
        return View(lambda x: second.there(first.there(x)), None)
    # What comes in between has the size of the second's answers.
    return View(lambda x: second.there(first.there(x)), lambda y, size: back(last(y, (y.shape[1], y.shape[2])), size))


def _resized(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.image.resize(x.astype(jnp.float32), shape, "linear")
