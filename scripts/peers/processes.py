"""What a person waits for: from the start of a process to 90 % of the garments, and to the first step."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from peers.race import LEC7, Effort, Row, row
from peers.training import EAGER, KERAS, NNX, fashion

SCRIPTS = Path(__file__).resolve().parents[1]
TARGET = 0.9

EXPERIMENT = """
from dataclasses import dataclass

import numpy as np

from lec7 import data, losses, models, optim
from lec7.experiment import Experiment
from peers.in_lec7 import network

@dataclass(frozen=True)
class Nothing:
    seed: int = 0

def build(hp: Nothing) -> Experiment:
    held = np.load({arrays!r})
    source = data.ArraySource({{"image": held["images"], "label": held["labels"]}})
    model = models.from_nnx(lambda rngs: network("mlp", rngs))
    return Experiment(
        model=model, loss=losses.cross_entropy, optimizer=optim.adam(1e-3), train=source, test=source, steps=1,
        batch_size=128, log_every=1
    )
"""
"""What `lec7 run` is given: a step of the MLP."""
SCRIPT = """
import sys, time

import numpy as np

from peers import in_keras

class Told(in_keras.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print(time.time())
        sys.stdout.flush()

held = np.load({arrays!r})
net = in_keras.compiled("mlp", 1)
n = 128
net.fit(held["images"][:n] / np.float32(255), held["labels"][:n], n, epochs=1, verbose=0, callbacks=[Told()])
"""
"""The same by Keras."""


def arrays_in(folder: Path) -> Path:
    """The garments as a file that NumPy reads."""
    train, test = fashion()
    path = folder / "garments.npz"
    np.savez(path, images=train.images, labels=train.labels, test_images=test.images, test_labels=test.labels)
    return path


def environment(cache: Path | None) -> dict[str, str]:
    """A process's: programs are kept in that folder, or nowhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    if cache is None:
        return kept | {"PYTHONPATH": str(SCRIPTS), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    of_lec7, of_jax = {"XDG_CACHE_HOME": str(cache)}, {"JAX_COMPILATION_CACHE_DIR": str(cache / "jax")}
    return kept | of_lec7 | of_jax | {"PYTHONPATH": str(SCRIPTS), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def said(arguments: Iterable[str | Path], cache: Path | None = None) -> str:
    """What a process prints, once it has ended well."""
    done = subprocess.run(
        [sys.executable, *arguments], check=True, env=environment(cache), text=True, stdout=subprocess.PIPE
    )
    return done.stdout


def to_accuracy(effort: Effort) -> Iterable[Row]:
    """Seconds to 90 % of the garments that are held out, by a CNN, from the start of the process, nothing kept."""
    files = {LEC7: "peers.in_lec7", EAGER: "peers.in_torch", KERAS: "peers.in_keras", NNX: "peers.in_nnx"}
    taken: dict[str, list[float]] = {name: [] for name in files}
    steps: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = arrays_in(Path(folder))
        for _ in range(max(1, effort.rounds // 3)):
            for name, module in files.items():
                begin = time.perf_counter()
                steps[name] = said(["-m", module, arrays, str(TARGET)]).strip()
                taken[name].append(time.perf_counter() - begin)
                print(f"  {name}: {taken[name][-1]:.1f} s, {steps[name]} steps", flush=True)
    for name in files:
        if name != LEC7:
            work = f"CNN to {TARGET:.0%}: {steps[LEC7]} steps, and {steps[name]}"
            yield row(work, name, "runs", 1, taken[LEC7], taken[name], 1.3)


def first_steps(effort: Effort) -> Iterable[Row]:
    """Seconds from the start of a process to the end of the first step, of the MLP."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        arrays = str(arrays_in(folder))
        (folder / "experiment.py").write_text(EXPERIMENT.format(arrays=arrays))
        (folder / "script.py").write_text(SCRIPT.format(arrays=arrays))
        starts: Mapping[str, Callable[[Path, Path, str], float]] = {LEC7: with_lec7, KERAS: with_keras}
        taken: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in starts} for kind in ("cold", "kept")}
        for turn in range(max(3, effort.rounds // 2)):
            for name, start in starts.items():
                cache = folder / f"{name}-{turn}"
                for kind in taken:
                    taken[kind][name].append(start(folder, cache, f"{kind}-{turn}"))
        for kind, title in (("cold", "nothing compiled before"), ("kept", "programs kept from before")):
            yield row(f"start to first step, {title}", KERAS, "starts", 1, *taken[kind].values(), target=1.0)


def with_lec7(folder: Path, cache: Path, name: str) -> float:
    """By `lec7 run`, as its log tells."""
    begin = time.time()
    said(["-m", "lec7", "run", folder / "experiment.py", "--workdir", folder, "--name", name], cache)
    first = json.loads((folder / name / "metrics.jsonl").read_text().splitlines()[0])
    # A row says how long the log has been open.
    return (folder / name / "config.json").stat().st_mtime + first["seconds"] - begin


def with_keras(folder: Path, cache: Path, name: str) -> float:
    """By a script, as it tells."""
    begin = time.time()
    return float(said([folder / "script.py"], cache).split()[0]) - begin
