"""Checkpoints: Orbax, asynchronous and atomic, with a checksum that finds a single wrong bit.

A checkpoint has two items, the state and the averages in it, so that a run can go on with its averages or without.
"""

import contextlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from lec7 import averaging, tree
from lec7.errors import InputError, short
from lec7.train.state import TrainState
from lec7.typing import PyTree

STATE, AVERAGES = "state", "averages"
"""The items of a checkpoint, a folder each."""

MOST_SAID = 200
"""Characters of what Orbax says of a checkpoint that it can't read."""


@dataclass(frozen=True)
class Restored:
    """What was read: the state, its step, and what was passed over as damaged (step to reason)."""

    state: TrainState
    step: int
    damaged: dict[int, str]


class _Manager(ocp.CheckpointManager):
    """Orbax's, which leaves it to the run when processes stop: of two who ask by different counts, neither hears."""

    def reached_preemption(self, step: int) -> bool:
        return False

    def _get_metrics(self, step: int) -> PyTree | None:
        try:
            return super()._get_metrics(step)
        except ValueError:  # Its file is damaged: a checkpoint without a score, which Orbax knows of.
            return None


class Checkpoints:
    """The checkpoints of one run: the latest ones and the one with the best score are kept.

    A context manager; leaving it waits until everything is written.

    Args:
        folder: where they lie, one folder a step; made where it is missing.
        latest: how many of the latest to keep.
        tidy: whether what is unfinished is removed: what a killed run left, or what another process is writing.
    """

    def __init__(self, folder: Path, latest: int = 2, tidy: bool = True):
        def score(metrics: Mapping[str, float]) -> float:
            return metrics["score"]

        kept = keep.AnyPreservationPolicy([keep.LatestN(latest), keep.BestN(get_metric_fn=score, n=1)])
        # Unless it is told the processes by number, Orbax's threads let the devices wait for each other, and the step
        # that is under way on these may come first on one process and second on another.
        together = ocp.options.MultiprocessingOptions(active_processes=set(range(jax.process_count())))
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._manager = _Manager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                best_fn=score,
                preservation_policy=kept,
                cleanup_tmp_directories=tidy,
                multiprocessing_options=together,
                create=False,
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()

    @property
    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, in order."""
        return sorted(self._manager.all_steps())

    @property
    def best(self) -> int | None:
        """The step of the best score; None where there is no checkpoint."""
        return self._manager.best_step()

    def save(self, state: TrainState, score: float = -math.inf) -> None:
        """Starts to write the state of `state.step`; training may go on at once, donation included.

        Args:
            state: what to save.
            score: what the best checkpoint has most of.
        """
        # The copy is the writer's own: the original's memory is the next step's.
        items = {name: jax.tree.map(jnp.copy, item) for name, item in _items(state).items()}
        saved = {name: ocp.args.StandardSave(_record(item)) for name, item in items.items()}
        self._manager.save(state.steps_taken, args=ocp.args.Composite(**saved), metrics={"score": score})

    def wait(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()

    def delete(self, step: int) -> None:
        """Removes a step's checkpoint."""
        self._manager.delete(step)

    def restore(self, like: TrainState, step: int | None = None, averages: bool = True) -> Restored:
        """The newest readable state, or the one of `step`.

        Args:
            like: a state of the same structure; arrays or `jax.ShapeDtypeStruct`s. What is read comes to lie where
                these say, and on the first device where they do not, whatever devices it was saved from.
            step: a step that was saved; by default the newest that is whole.
            averages: whether averages and snapshots are wanted. If not, it does not matter which ones `like` or the
                checkpoint has; in the state that comes back their places are vacant, for `averaging.put_in` to fill.

        Raises:
            InputError: there is no such checkpoint, or none that can be read.
        """
        if not self.steps or (step is not None and step not in self.steps):
            what = "checkpoint" if step is None else f"checkpoint of step {step}"
            raise InputError(f"{self.folder} has no {what}; it has steps {self.steps}")
        damaged: dict[int, str] = {}
        for candidate in [step] if step is not None else reversed(self.steps):
            try:
                return Restored(self._read(like, candidate, averages), candidate, damaged)
            except Exception as error:  # Orbax raises bare Exceptions for what it can't read.
                damaged[candidate] = self._difference(like, candidate, averages) or _in_few_words(error)
        reasons = "; ".join(f"step {step}: {reason}" for step, reason in damaged.items())
        raise InputError(f"no checkpoint in {self.folder} can be read: {reasons}; put one back, or begin anew")

    def _difference(self, like: TrainState, step: int, averages: bool) -> str:
        """What a step's checkpoint has of another experiment, in words; empty where that can't be told."""
        with contextlib.suppress(Exception):
            for name, item in _items(like).items():
                if name == AVERAGES and not averages:
                    continue
                place: Any = self.folder / str(step) / name  # Orbax says that it wants another library's Path
                described: Any = ocp.StandardCheckpointHandler().metadata(place)
                there = described.tree["arrays"]
                wanted = tree.named(jax.eval_shape(_record, item)["arrays"])
                if lonely := [path for path in (*there, *wanted) if (path in there) != (path in wanted)]:
                    who = "it has" if lonely[0] in there else "the experiment has"
                    return f"it is of another experiment, {who} {lonely[0]} alone"
                for path, want in wanted.items():
                    if there[path].dtype == want.dtype and tuple(there[path].shape) != want.shape:
                        return f"it is of another experiment, {path} is {short(there[path])} and not {short(want)}"
        return ""

    def _read(self, like: TrainState, step: int, averages: bool) -> TrainState:
        wanted = {name: item for name, item in _items(like).items() if averages or name == STATE}
        if missing := [name for name in wanted if not (self.folder / str(step) / name).is_dir()]:
            raise InputError(f"it has no {missing[0]}, and can be read without")
        restored = {name: ocp.args.StandardRestore(_placed(item)) for name, item in wanted.items()}
        with _no_echo():
            read = self._manager.restore(step, args=ocp.args.Composite(**restored))
        parts = {name: _item(read[name], item) for name, item in wanted.items()}
        if AVERAGES not in parts:
            return parts[STATE]
        return parts[STATE].replace(opt_state=averaging.put_in(parts[STATE].opt_state, parts[AVERAGES]))


def _items(state: TrainState) -> dict[str, PyTree]:
    """What a checkpoint consists of: the state, and the averages in it where there are some."""
    rest, averages = averaging.take_out(state.opt_state)
    return {STATE: state.replace(opt_state=rest)} | ({AVERAGES: averages} if averages else {})


def _in_few_words(error: Exception) -> str:
    """What Orbax says, which names each layer of a file and ends with all that it knows of it."""
    said = str(error).split(". See full")[0].split("\n")[0].partition(" [tensorstore_spec")[0]
    return said if len(said) <= MOST_SAID else f"{said[: MOST_SAID // 3]} ... {said[-MOST_SAID * 2 // 3 :]}"


def _record(item: PyTree) -> PyTree:
    """An item as it is saved: its arrays by name, which tell nothing of vacant places, and a checksum."""
    return {"arrays": tree.named(item), "checksum": checksum(item)}


def _placed(item: PyTree) -> PyTree:
    """The shapes of an item's record, each with a place: without one, Orbax asks for the devices that it was on."""
    first = SingleDeviceSharding(jax.local_devices()[0])
    named = jax.tree.map(lambda leaf: getattr(leaf, "sharding", None) or first, tree.named(item))
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        jax.eval_shape(_record, item),
        {"arrays": named, "checksum": first},
    )


def _item(read: PyTree, like: PyTree) -> PyTree:
    """The item of a record, if it has the experiment's shapes, and the checksum that it had."""
    for name, want in tree.named(like).items():
        got = read["arrays"][name]
        if got.shape != want.shape or got.dtype != want.dtype:
            raise InputError(f"{name} is {got.dtype}{got.shape}, the experiment has {want.dtype}{want.shape}")
    item = jax.tree.unflatten(jax.tree.structure(like), [read["arrays"][name] for name in tree.paths(like)])
    if int(checksum(item)) != int(read["checksum"]):
        raise InputError("its checksum is wrong, so that at least one bit of it has changed")
    return item


@jax.jit
def checksum(state: PyTree) -> jax.Array:
    """A uint32 that depends on each bit of each leaf and on its place.

    Sums modulo 2**32 of mixed words are exact in any order: every device and every way of sharding gets
    the same.

    >>> bool(checksum(jnp.array([1.0, 2.0])) == checksum(jnp.array([2.0, 1.0])))
    False
    """
    total = jnp.uint32(0)
    for number, leaf in enumerate(jax.tree.leaves(state)):
        place = jnp.arange(1, words.size + 1, dtype=jnp.uint32) if (words := _words(leaf)).size else words
        mixed = (words + place * jnp.uint32(0x9E3779B9)) ^ jnp.uint32(number)
        mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
        total += jnp.sum(mixed ^ (mixed >> 13), dtype=jnp.uint32)
    return total


def _words(leaf: jax.Array) -> jax.Array:
    """The bits of an array, as uint32 [n]."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        leaf = jnp.stack([leaf.real, leaf.imag])
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    word = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, word).astype(jnp.uint32).reshape(-1)


@contextlib.contextmanager
def _no_echo():
    """Keeps Python from telling on stderr of the reads that Orbax leaves behind when one fails: now, and later."""
    hook = before = sys.unraisablehook

    def quiet(said: "sys.UnraisableHookArgs") -> None:
        if str(said.exc_value) != "Event loop is closed":
            before(said)

    sys.unraisablehook = lambda _: None
    try:
        yield
    except BaseException:
        hook = quiet  # TensorStore's threads may still be reading.
        raise
    finally:
        sys.unraisablehook = hook
