"""How long a run takes to its first step, the first time and the second, when its programs were kept.

    .venv/bin/python scripts/bench_start.py [--rounds N]

Each start is a process of its own, from nothing to the first row of the log, which here is that of the first step.
Three runs: the digits and Fashion-MNIST of experiments/, and ResNet-18 on the digits, which takes long to compile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
AFTER_A_STEP = """
import dataclasses
from pathlib import Path
from lec7 import experiment

file = experiment.load(Path({path!r}))

def build(hp):
    return dataclasses.replace(file.build(hp), steps=2, log_every=1, evaluate_every=2)

build.__annotations__["hp"] = file.hyperparameters
"""
RESNET = """
import dataclasses
import jax
import jax.numpy as jnp
import optax
from lec7 import averaging, data, losses, models, optim
from lec7.experiment import Experiment

@dataclasses.dataclass(frozen=True)
class Nothing:
    seed: int = 0

def inputs(batch):
    image = batch["image"]
    return jnp.broadcast_to(jax.image.resize(image, (len(image), 32, 32, 1), "linear"), (len(image), 32, 32, 3))

def build(hp: Nothing) -> Experiment:
    train, test = data.digits()
    optimizer = optax.chain(optim.momentum(0.01), averaging.ema(0.99))
    model = models.from_nnx(lambda rngs: models.resnet18(10, rngs=rngs))
    return Experiment(
        model=model, loss=losses.cross_entropy, optimizer=optimizer, inputs=inputs, train=train, test=test, steps=2,
        batch_size=16
    )
"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=2)
given = parser.parse_args()


def start(path: Path, folder: Path, name: str) -> tuple[float, float]:
    """Seconds to the first row, from the start of the process, and from the start of training."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    begin = time.time()
    subprocess.run(
        [sys.executable, "-m", "lec7", "run", path, "--workdir", folder, "--name", name],
        check=True,
        env=environment | {"XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
    )
    first = json.loads((folder / name / "metrics.jsonl").read_text().splitlines()[0])
    # A row says how long the log has been open.
    opened = (folder / name / "config.json").stat().st_mtime
    return opened + first["seconds"] - begin, first["seconds"]


with tempfile.TemporaryDirectory() as temporary:
    root = Path(temporary)
    (root / "resnet.py").write_text(RESNET)
    for path in (EXPERIMENTS / "digits.py", EXPERIMENTS / "fashion.py", root / "resnet.py"):
        once = root / f"{path.stem}_once.py"
        once.write_text(AFTER_A_STEP.format(path=str(path)))
        for pair in range(given.rounds):
            folder = root / f"{path.stem}{pair}"
            folder.mkdir()
            (first, training), (second, again) = start(once, folder, "first"), start(once, folder, "second")
            print(f"{path.stem:<8} of all {first:5.1f} s, then {second:4.1f} s ({second / first:.2f})", end="; ")
            print(f"of training {training:5.1f} s, then {again:4.1f} s ({again / training:.2f})")
