"""Draws docs/augmentations.png: what every augmentation of `lec7.augment` makes of a photograph.

.venv/bin/python scripts/draw_augmentations.py
"""

import inspect
from pathlib import Path

import jax
import numpy as np
from matplotlib import cbook
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from lec7 import augment

HEIGHT, WIDTH, COLUMNS = 144, 120, 7
# Numbers that show what an operation does; of those that are not here, its own.
NUMBERS = {
    "center_crop": ((108, 90),),
    "random_crop": ((HEIGHT, WIDTH), 40),
    "random_resized_crop": ((HEIGHT, WIDTH),),
    "resize": ((72, WIDTH),),
    "scale_jitter": ((170, 240),),
    "mirror": (1.0,),
    "translate": (0.25,),
    "rotate": ((20, 40),),
    "stretch": (2.0,),
    "shear": (0.35,),
    "lens": ((0.7, 0.9),),
    "elastic": (4.0, 20.0),
    "brightness": ((1.5, 1.7),),
    "contrast": ((0.3, 0.4),),
    "saturation": ((1.8, 2.2),),
    "hue": ((0.3, 0.4),),
    "sharpness": ((3.0, 6.0),),
    "posterize": ((1, 3),),
    "solarize": ((0.3, 0.7),),
    "randaugment": (2, 15),
    "augmix": (8.0,),
}
BEHIND = {"scale_jitter": (augment.random_crop((HEIGHT, WIDTH)),)}  # what has to follow


def photograph() -> np.ndarray:
    """Grace Hopper, from matplotlib's wheel, made small."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        image = imread(file, format="jpg")[:, :500]
    small = augment.pipeline(augment.resize((HEIGHT, WIDTH)), interpolation="bicubic")
    return np.asarray(small(jax.random.key(0), image))


def operations(image: np.ndarray) -> dict[str, list[augment.Operation]]:
    """Each that lec7.augment hands out, by name."""
    numbers = NUMBERS | {"pca_colour": (augment.pca_basis(image), 1.0)}
    found: dict[str, list[augment.Operation]] = {}
    for name in augment.__all__:
        make = getattr(augment, name)
        if not inspect.isfunction(make):
            continue
        try:
            made = make(*numbers.get(name, ()))
        except TypeError:  # what can't be called without more is no operation, such as `sometimes`
            continue
        several = made if isinstance(made, list) else [made]
        if several and all(isinstance(operation, augment.Operation) for operation in several):
            found[name] = [*several, *BEHIND.get(name, ())]
    return found


def draw(target: Path) -> None:
    image = photograph()
    tiles = [("the photograph", image)]
    for name, row in operations(image).items():
        tiles.append((name, np.asarray(jax.jit(augment.pipeline(*row))(jax.random.key(7), image))))
    rows = -(-len(tiles) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * 1.25, rows * 1.68), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    for axes in figure.subplots(rows, COLUMNS).flat:
        axes.set_axis_off()
    for axes, (name, tile) in zip(figure.axes, tiles, strict=False):
        axes.imshow(tile, interpolation="nearest")
        axes.set(xlim=(-0.5, WIDTH - 0.5), ylim=(HEIGHT - 0.5, -0.5))  # one scale for all, so that sizes show
        axes.set_title(name, fontsize=8, pad=3)
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(100)
    canvas.draw()
    # 256 colours will do, in a third of the bytes.
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(256, dither=Image.Dither.NONE).save(target)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parents[1] / "docs" / "augmentations.png")
