"""What PyTorch's `grid_sample` and torchvision make of small images, kept as data for `tests/augment`.

    python scripts/make_torch_samples.py            # writes tests/augment/goldens
    python scripts/make_torch_samples.py --check    # compares the files with what is installed here

Needs PyTorch (2.13 made the files), torchvision (0.28; without it only `torch_grid_sample.npz`) and NumPy; lec7
itself needs none of the first two.
"""

import argparse
import importlib.util
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

FOLDER = Path(__file__).parents[1] / "tests" / "augment" / "goldens"
EDGES = {"constant": "zeros", "edge": "border", "reflect": "reflection"}
COLOURS = {
    "brightness": ("adjust_brightness", (0.5, 1.3)),
    "contrast": ("adjust_contrast", (0.5, 1.4)),
    "saturation": ("adjust_saturation", (0.0, 0.5, 1.4)),
    "hue": ("adjust_hue", (-0.5, -0.2, 0.1, 0.35)),
    "sharpness": ("adjust_sharpness", (0.5, 1.6)),
    "solarize": ("solarize", (0.4,)),
}


def grid_sample() -> dict[str, np.ndarray]:
    """Pixels of a small image at points within it and a few beyond it."""
    rng = np.random.default_rng(2026)
    image = rng.uniform(size=(9, 11, 3)).astype(np.float32)
    y, x = (rng.uniform(-3, n + 2, (8, 10)).astype(np.float32) for n in image.shape[:2])
    # align_corners: -1 and 1 are the centres of the outermost pixels, and reflections go about these.
    points = torch.tensor(np.stack([2 * x / (image.shape[1] - 1) - 1, 2 * y / (image.shape[0] - 1) - 1], -1)).double()
    pixels = torch.tensor(image).double().movedim(-1, 0)[None]
    made = {"image": image, "y": y, "x": x}
    for interpolation in ("nearest", "bilinear", "bicubic"):
        for edge, padding in EDGES.items():
            new = torch.nn.functional.grid_sample(pixels, points[None], interpolation, padding, align_corners=True)
            made[f"{interpolation} {edge}"] = new[0].movedim(0, -1).numpy().astype(np.float32)
    return made


def colours() -> dict[str, np.ndarray]:
    """A small image with its colours changed by torchvision."""
    # torchvision's own kernels, of which nothing here needs one, may be built for another PyTorch.
    with patch.object(torch.library, "register_fake", lambda name: lambda function: function):
        import torchvision  # noqa: F401
    from torchvision.transforms.v2 import functional

    image = np.random.default_rng(2026).uniform(size=(8, 9, 3)).astype(np.float32)
    pixels = torch.tensor(image).movedim(-1, 0)
    made = {"image": image}
    for name, (function, numbers) in COLOURS.items():
        for number in numbers:
            new = getattr(functional, function)(pixels, number)
            made[f"{name} {number}"] = new.movedim(0, -1).numpy().astype(np.float32)
    for name in ("equalize", "autocontrast"):
        made[name] = getattr(functional, name)(pixels).movedim(0, -1).numpy().astype(np.float32)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    check = parser.parse_args().check
    makers = {"torch_grid_sample": grid_sample}
    if importlib.util.find_spec("torchvision"):
        makers["torchvision"] = colours
    else:
        print("no torchvision here: its file is left as it is")
    FOLDER.mkdir(exist_ok=True)
    for name, make in makers.items():
        file, made = FOLDER / f"{name}.npz", make()
        if not check:
            np.savez_compressed(file, **made)
            continue
        with np.load(file) as kept:
            assert set(kept) == set(made), set(kept) ^ set(made)
            worst = max(np.abs(kept[entry] - made[entry]).max() for entry in made)
        print(f"{file.name}: {len(made)} arrays, the largest difference is {worst:.1e}")
        assert worst < 1e-5


if __name__ == "__main__":
    main()
