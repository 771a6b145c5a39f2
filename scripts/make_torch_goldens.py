"""PyTorch's figures, kept as data for `tests/optim/test_formulas.py` and `tests/regularize/test_pooling.py`.

    python scripts/make_torch_goldens.py            # writes the files goldens/torch.npz beside these tests
    python scripts/make_torch_goldens.py --check    # compares the files with the PyTorch installed here

Needs PyTorch (2.13 made the files) and NumPy; lec7 itself needs no PyTorch.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).parents[1] / "tests"
STEPS, KEPT = 100, (1, 2, 10, 50, 100)
SHAPES = {"scalar": (), "vector": (5,), "matrix": (3, 4), "empty": (0,)}
DECAY_OF_RATE = 0.02
OPTIMIZERS = {
    "sgd": lambda a, **n: (torch.optim.SGD, {}),
    "momentum": lambda a, **n: (torch.optim.SGD, {"momentum": n["rho"]}),
    "nesterov": lambda a, **n: (torch.optim.SGD, {"momentum": n["rho"], "nesterov": True}),
    "adagrad": lambda a, **n: (torch.optim.Adagrad, {"eps": n["eps"], "initial_accumulator_value": n["initial"]}),
    "rmsprop": lambda a, **n: (torch.optim.RMSprop, {"alpha": n["decay"], "eps": n["eps"]}),
    "rmsprop with momentum": lambda a, **n: (
        torch.optim.RMSprop,
        {"alpha": n["decay"], "eps": n["eps"], "momentum": n["rho"]},
    ),
    "adam": lambda a, **n: (torch.optim.Adam, adam(n)),
    "adamw": lambda a, **n: (torch.optim.AdamW, adam(n)),
    "amsgrad": lambda a, **n: (torch.optim.Adam, {**adam(n), "amsgrad": True}),
    "nadam": lambda a, **n: (torch.optim.NAdam, {**adam(n), "momentum_decay": n["momentum_decay"]}),
}
NUMBERS = {
    "sgd": (),
    "momentum": ("rho",),
    "nesterov": ("rho",),
    "adagrad": ("eps", "initial"),
    "rmsprop": ("decay", "eps"),
    "rmsprop with momentum": ("decay", "eps", "rho"),
    "adam": ("b1", "b2", "eps"),
    "adamw": ("b1", "b2", "eps"),
    "amsgrad": ("b1", "b2", "eps"),
    "nadam": ("b1", "b2", "eps", "momentum_decay"),
}


def adam(numbers):
    return {"betas": (numbers["b1"], numbers["b2"]), "eps": numbers["eps"]}


def draw(name, rng):
    """A random value for a hyperparameter, of a size that people use."""
    ranges = {"rho": (0.8, 0.99), "decay": (0.9, 0.999), "b1": (0.8, 0.95), "b2": (0.9, 0.999), "initial": (0, 0.1)}
    if name in ("eps", "momentum_decay"):
        return float(10 ** rng.uniform(-9, -5)) if name == "eps" else float(rng.uniform(1e-3, 1e-2))
    return float(rng.uniform(*ranges[name]))


def cases():
    """Each optimizer with random numbers: with and without weight decay, the rate constant and decaying."""
    rng = np.random.default_rng(2026)
    for name, numbers in NUMBERS.items():
        for decaying in (False, True):
            for weight_decay in (0.0, float(rng.uniform(0.01, 0.1))):
                yield {
                    "optimizer": name,
                    "learning_rate": float(rng.uniform(0.01, 0.05)),
                    "decaying": decaying,
                    "weight_decay": weight_decay,
                    "numbers": {number: draw(number, rng) for number in numbers},
                }


def trajectory(case, start, scale, noise):
    """The parameters, leaf after leaf in a row, after each step that is kept.

    The gradient is that of a quartic, scale * (x**3 - x / 2), and noise, as that of a batch has: without it, RMSProp
    with a constant rate jumps to and fro across the minimum, where rounding grows by orders of magnitude.
    """
    params = {leaf: torch.tensor(x, dtype=torch.float64, requires_grad=True) for leaf, x in start.items()}
    kind, options = OPTIMIZERS[case["optimizer"]](case["learning_rate"], **case["numbers"])
    optimizer = kind(
        params.values(), lr=case["learning_rate"], weight_decay=case["weight_decay"], foreach=False, **options
    )
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: 1 / (1 + DECAY_OF_RATE * t) if case["decaying"] else 1.0
    )
    for t in range(1, STEPS + 1):
        for leaf, x in params.items():
            x.grad = torch.tensor(scale[leaf]) * (x.detach() ** 3 - 0.5 * x.detach()) + torch.tensor(noise[leaf][t - 1])
        optimizer.step()
        rate.step()
        if t in KEPT:
            yield np.concatenate([x.detach().numpy().ravel() for x in params.values()])


def trajectories():
    """What is told of the optimizers, and the arrays: their common problem, and where each goes."""
    rng = np.random.default_rng(7)
    start = {leaf: np.asarray(rng.normal(size=shape)) for leaf, shape in SHAPES.items()}
    scale = {leaf: np.asarray(np.exp(rng.normal(size=shape))) for leaf, shape in SHAPES.items()}
    noise = {leaf: rng.normal(size=(STEPS, *shape)) for leaf, shape in SHAPES.items()}
    about = {"cases": list(cases()), "kept": KEPT, "decay_of_rate": DECAY_OF_RATE}
    problem = {"start": start, "scale": scale, "noise": noise}
    arrays = {f"{what}/{leaf}": x for what, leaves in problem.items() for leaf, x in leaves.items()}
    arrays["trajectories"] = np.array([list(trajectory(case, **problem)) for case in about["cases"]])
    return about, arrays


POOLS = [
    {"height": height, "width": width, "output": output, "window": window, "dtype": dtype}
    for height, width, output, window in [
        (9, 9, (6, 6), 2),
        (25, 17, (18, 12), 2),
        (16, 11, (5, 10), 2),
        (10, 13, (4, 5), 3),
        (7, 7, (1, 3), 2),
        (5, 4, (4, 3), 2),
    ]
    for dtype in ("float32", "float64")
]


def pools():
    """What is told of fractional max pooling, and the arrays: images, samples, outputs, and how gradients go back."""
    rng = np.random.default_rng(14)
    arrays = {}
    for i, case in enumerate(POOLS):
        x = rng.normal(size=(2, 2, case["height"], case["width"])).astype(case["dtype"])
        samples = rng.uniform(size=(2, 2, 2)).astype(case["dtype"])
        back = rng.normal(size=(2, 2, *case["output"])).astype(case["dtype"])
        image = torch.tensor(x, requires_grad=True)
        pooled = torch.nn.functional.fractional_max_pool2d(
            image, case["window"], output_size=case["output"], _random_samples=torch.tensor(samples)
        )
        pooled.backward(torch.tensor(back))
        found = {"x": x, "samples": samples, "back": back, "y": pooled.detach().numpy(), "grad": image.grad.numpy()}
        arrays |= {f"{i}/{name}": array for name, array in found.items()}
    return {"cases": POOLS}, arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare the files with the PyTorch installed here")
    check = parser.parse_args().check
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default
    for room, (about, arrays) in {"optim": trajectories(), "regularize": pools()}.items():
        file = TESTS / room / "goldens" / "torch.npz"
        if check:
            with np.load(file) as kept:
                told = json.loads(str(kept["about"]))["cases"]
                assert told == json.loads(json.dumps(about["cases"])), "the cases have changed: write the files anew"
                worst = max(
                    np.max(np.abs(kept[name] - x) / np.where(x == 0, 1, np.abs(x)), initial=0)
                    for name, x in arrays.items()
                )
            print(f"PyTorch {torch.__version__} agrees to {worst:.1e} in {len(told)} cases of {room}")
            assert worst < 1e-12
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, about=json.dumps({"torch": torch.__version__, **about}), **arrays)
            print(f"wrote {file}: {len(about['cases'])} cases, {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
