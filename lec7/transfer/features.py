"""What a network makes of a data set at one of its stages, computed once and kept."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lec7 import data
from lec7.errors import InputError
from lec7.models import Model, Variables
from lec7.train import image
from lec7.transfer.surgery import cut
from lec7.typing import Batch

Pool = Callable[[jax.Array], jax.Array]
"""From a stage's output [n, ..., channels] to features [n, f]: `models.mean_pool`, `models.mean_and_std_pool`."""


def features(
    model: Model,
    variables: Variables,
    source: data.Source,
    at: str = "pool",
    *,
    pool: Pool | None = None,
    inputs: Callable[[Batch], Any] = image,
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """The output of a stage for all examples, in testing mode.

    With a folder as `cache` they are computed once: a file is called by the SHA-256 of the compiled program's text
    (which has the network up to that stage, the preprocessing and the pooling in it), of the weights that it reads and
    of the examples. Whatever changes one of these makes another file, and what lies beyond the stage changes none.

    Args:
        model: made by `models.from_nnx`.
        variables: its arrays.
        source: the examples.
        at: the name of a module, such as `"blocks/10"`; of a `models.Network`, `"pool"` is what its head gets.
        pool: makes vectors of maps; by default the output stays as it is.
        inputs: what the model sees of a batch; `Pretrained.inputs` preprocesses it.
        batch_size: examples at a time.
        cache: a folder, made where it is missing.

    Returns:
        Features [examples, ...].

    Raises:
        InputError: the model has no such module, or does not reach it.

    >>> from lec7.models import MLP, from_nnx
    >>> mlp = from_nnx(lambda rngs: MLP(4, (8, 6), 3, rngs=rngs))
    >>> variables = mlp.init(jax.random.key(0), np.zeros((1, 4)))
    >>> source = data.ArraySource({"image": np.ones((50, 4), np.float32)})
    >>> features(mlp, variables, source, "norms/1").shape
    (50, 6)
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1")
    program = _program(model, at, pool, inputs)
    if cache is None:
        return _computed(program, variables, source, batch_size)
    file = Path(cache) / f"{_fingerprint(program, variables, source, batch_size)}.npy"
    kept = _read(file, len(source))
    if kept is None:
        kept = _computed(program, variables, source, batch_size)
        _write(file, kept)
    return kept


@lru_cache(maxsize=8)
def _program(
    model: Model, at: str, pool: Pool | None, inputs: Callable[[Batch], Any]
) -> Callable[[Variables, Batch], jax.Array]:
    """One program for a stage, however many sources it sees."""
    part = cut(model, at)

    @jax.jit
    def program(variables: Variables, batch: Batch) -> jax.Array:
        outputs, _ = part.apply(variables, inputs(batch), train=False)
        return outputs if pool is None else pool(outputs)

    return program


def cache_folder() -> Path:
    """Where this user's programs keep what they can compute again: `lec7` in `$XDG_CACHE_HOME` or `~/.cache`.

    >>> cache_folder().name
    'lec7'
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lec7"


def _computed(run: Callable[..., jax.Array], variables: Variables, source: data.Source, size: int) -> np.ndarray:
    # The loop is Python's: a convolution inside of XLA's loops has one thread on a CPU.
    length = len(source)
    rows = []
    for start in range(0, length, size):
        # The last batch is filled up with copies of the last example.
        out = run(variables, source[np.minimum(np.arange(start, start + size), length - 1)])
        rows.append(np.asarray(out)[: length - start])
    return np.concatenate(rows)


def _fingerprint(program: Any, variables: Variables, source: data.Source, size: int) -> str:
    """The SHA-256 of all that the features hang on, in hexadecimal digits."""
    traced = program.trace(variables, jax.eval_shape(lambda: source[np.zeros(size, int)]))
    jaxpr = traced.jaxpr.jaxpr
    read = {id(var) for equation in jaxpr.eqns for var in equation.invars}
    used = [id(var) in read for var in jaxpr.invars]
    everything = source[np.arange(len(source))]
    digest = hashlib.sha256(traced.lower().as_text().encode())
    for array, counts in zip(jax.tree.leaves((variables, everything)), used, strict=True):
        if counts:
            values = np.asarray(array)
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read(file: Path, rows: int) -> np.ndarray | None:
    """Features from a file; None where there are none, or damaged ones, which are told."""
    if not file.exists():
        return None
    try:
        with file.open("rb") as content:
            kept = np.lib.format.read_array(content, allow_pickle=False)
        if len(kept) == rows:
            return kept
        reason = f"{len(kept)} rows, expected {rows}"
    except (ValueError, OSError, EOFError, TypeError) as error:
        reason = str(error)
    warnings.warn(f"the features in {file} are damaged ({reason}), and computed anew", stacklevel=4)
    return None


def _write(file: Path, values: np.ndarray) -> None:
    """Writes them whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".tmp", delete=False) as whole:
        np.save(whole, values)
    Path(whole.name).replace(file)
