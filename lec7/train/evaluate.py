"""Evaluation over a whole data set: of one model, of many together, and the statistics of averaged parameters."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from lec7 import data, random, tree
from lec7.losses import Loss
from lec7.models import How, Model, Variables, has_statistics, together
from lec7.models.statistics import refreshed
from lec7.train.feed import CHUNK_BYTES, as_stream, like, own_rows, put_rows
from lec7.train.lanes import lanes
from lec7.train.placement import everywhere, whole
from lec7.train.sharded import shards
from lec7.train.step import image
from lec7.typing import Batch, Device, Key, Metrics, PyTree, wide

BATCHES = 100
"""How many batches statistics are recomputed on, at most."""

STATISTICS_BYTES = 2**28
"""What these may weigh where they come from the host."""


def make_evaluate(
    model: Model, loss: Loss, inputs: Callable[[Batch], Any] = image, batch_size: int = 500
) -> Callable[[Variables, data.Source], Metrics]:
    """The function that evaluates a model in testing mode on every example of a source once.

    Args:
        model: called with `train=False` and no key.
        loss: from outputs and batch to values for each example.
        inputs: what the model sees of a batch.
        batch_size: examples at a time; has no influence on the result but by rounding.

    Returns:
        A pure function `evaluate(variables, source) -> metrics`, one dispatch when jitted: means over all
        examples, arrays of shape ().

    >>> model = Model(lambda key, inputs: Variables({}, {}), lambda variables, x, *, train, key=None: (x, {}))
    >>> source = data.ArraySource({"image": jnp.array([1.0, 3.0])})
    >>> evaluate = make_evaluate(model, lambda outputs, batch: {"loss": outputs})
    >>> float(evaluate(Variables({}, {}), source)["loss"])
    2.0
    """

    def evaluate(variables: Variables, source: data.Source) -> Metrics:
        def rows(batch: Batch) -> Metrics:
            outputs, _ = model.apply(variables, inputs(batch), train=False)
            return loss(outputs, batch)

        return _means(rows, source, batch_size)

    return evaluate


def make_evaluate_members(
    model: Model,
    rows: Callable[..., PyTree],
    inputs: Callable[[Batch], Any] = image,
    batch_size: int = 500,
    chunk: int | None = 1,
    devices: Sequence[Device] = (),
) -> Callable[..., PyTree]:
    """The function that evaluates several models in testing mode on every example of a source once.

    Args:
        model: called with `train=False` and no key.
        rows: from outputs [members, n, ...], a batch of n and whatever else to a pytree of arrays [n, ...]; see
            `together_and_each`.
        inputs: what the model sees of a batch.
        batch_size: examples at a time; has no influence on the result but by rounding.
        chunk: members side by side, by default one at a time; see `lanes`.
        devices: what the members are dealt out to, see `lanes`.

    Returns:
        A pure function `evaluate(members, source, *whatever)`, one dispatch when jitted, of variables with a leading
        axis of members: the rows' means over all examples.

    >>> def apply(variables, x, *, train, key=None):
    ...     return x * variables.params, {}
    >>> model = Model(lambda key, inputs: Variables({}, {}), apply)
    >>> source = data.ArraySource({"image": jnp.array([1.0, 3.0])})
    >>> evaluate = make_evaluate_members(model, lambda outputs, batch: outputs.mean(0))
    >>> float(evaluate(Variables(jnp.array([1.0, 2.0]), {}), source))
    3.0
    """
    answers = lanes(lambda one, x: model.apply(one, x, train=False)[0], chunk=chunk, devices=devices)

    def evaluate(members: Variables, source: data.Source, *more: Any) -> PyTree:
        return _means(lambda batch: rows(answers(members, inputs(batch)), batch, *more), source, batch_size)

    return evaluate


def together_and_each(loss: Loss, how: How = "probabilities") -> Callable[..., tuple[Metrics, Metrics]]:
    """Rows for `make_evaluate_members`: the loss of all members as one, and of each.

    Args:
        loss: from outputs and batch to values for each example.
        how: how outputs of the members become one, see `models.together`.

    Returns:
        A function `rows(outputs, batch, weights=None) -> (joint, each)` of outputs [members, n, ...], an array or a
        pytree of them, and of how much each member counts, [members]: metrics [n] of all together, and [n, members].

    >>> import lec7
    >>> rows = together_and_each(lec7.losses.cross_entropy)
    >>> joint, each = jax.eval_shape(rows, jnp.zeros((3, 4, 2)), {"label": jnp.zeros(4, int)})
    >>> joint["loss"].shape, each["loss"].shape
    ((4,), (4, 3))
    """

    def rows(outputs: PyTree, batch: Batch, weights: jax.Array | None = None) -> tuple[Metrics, Metrics]:
        each = jax.vmap(loss, in_axes=(0, None), out_axes=1)(outputs, batch)
        return loss(together(outputs, how, weights), batch), each

    return rows


def make_refresh(
    model: Model,
    inputs: Callable[[Batch], Any] = image,
    batch_size: int = 128,
    batches: int = BATCHES,
    mesh: Mesh | None = None,
) -> Callable[[Variables, Any, Key], Variables]:
    """The function that gives averaged parameters batch statistics of their own: `models.refresh_statistics`.

    Args:
        model: called in training.
        inputs: what the model sees of a batch.
        batch_size: examples of a batch, that of training.
        batches: how many, at most; there is no more than one pass over the source.
        mesh: that of the state, if it is on one, see `draw`.

    Returns:
        A pure function `refresh(variables, source, key) -> variables`, one dispatch when jitted, of a source on the
        device, or of what was `drawn` from one on the host. Which examples it sees hangs on the key alone. Variables
        without running statistics come back as they are.

    >>> model = Model(lambda key, inputs: Variables({}, {}), lambda variables, x, *, train, key=None: (x, {}))
    >>> source = data.ArraySource({"image": jnp.zeros(4)})
    >>> make_refresh(model, batch_size=2)(Variables({"w": 1.0}, {}), source, jax.random.key(0))
    Variables(params={'w': 1.0}, state={})
    """

    def refresh(variables: Variables, source: data.ArraySource | Drawn, key: Key) -> Variables:
        if not has_statistics(variables.state):
            return variables
        stream = random.stream(key, "statistics")
        if isinstance(source, Drawn):
            count, draw = len(next(iter(source.batches.values()))), source
        else:
            size, count = _batches_of(len(source), batch_size, batches)

            def draw(i: jax.Array) -> Batch:
                return source[whole(data.batch_indices(stream, i, len(source), size), mesh)]

        def batch(i: jax.Array) -> Any:
            return inputs(draw(i))

        return variables._replace(state=refreshed(model, variables, batch, count, stream))

    return refresh


class Drawn(NamedTuple):
    """Batches that statistics are recomputed on, arrays [batches, batch, ...] on the device."""

    batches: Batch

    def __call__(self, i: jax.Array) -> Batch:
        """Batch number i."""
        return jax.tree.map(lambda x: x[i], self.batches)


def drawn(source: data.Source, key: Key, batch_size: int, mesh: Mesh | None = None, batches: int = BATCHES) -> Drawn:
    """The batches that `make_refresh` would draw, of a source on the host; fewer where they weigh more than 256 MB.

    Args:
        source: the examples.
        key: that of the state.
        batch_size: examples of a batch.
        mesh: the devices that share a batch; None for the one that there is.
        batches: how many, at most.
    """
    size, count = _batches_of(len(source), batch_size, batches)
    count = min(count, max(1, STATISTICS_BYTES // tree.nbytes(like(source, size))))
    order = data.HostOrder(random.stream(key, "statistics"), len(source), size)
    stream, rows = as_stream(source), own_rows(size, mesh)
    read = list(data.batches(stream, order, 0, count, rows))
    stacked = {name: np.stack([batch[name] for batch in read]) for name in read[0]}
    return Drawn(put_rows(stacked, rows, size, mesh, axis=1))


def _batches_of(length: int, batch_size: int, most: int) -> tuple[int, int]:
    """The size of a batch, and how many of them make one pass over so many examples, or fewer."""
    size = min(batch_size, length)
    return size, min(most, length // size)


def mean_over(source: data.Source, measure: Callable[[data.ArraySource], PyTree], mesh: Mesh | None = None) -> PyTree:
    """The mean over all examples of a source, be it on the device or on the host, as arrays on the host.

    Args:
        source: the examples; those on the host are read a part at a time, by each process its rows.
        measure: from examples on the device, to the means over them; compiled, for two sizes of parts at most.
        mesh: the devices that share a part; None for the one that there is.
    """
    if isinstance(source, data.ArraySource):
        return jax.device_get(measure(everywhere(source, mesh)))
    means = [(len(part), jax.device_get(measure(part))) for part in _parts(source, mesh)]
    counts = [count for count, _ in means]
    return jax.tree.map(
        lambda *values: np.average(np.stack(values), axis=0, weights=counts), *(mean for _, mean in means)
    )


def _parts(source: data.Source, mesh: Mesh | None) -> Iterator[data.ArraySource]:
    """The examples of a source on the host, in order, as some on the device at a time; devices have equal shares."""
    unit = 1 if mesh is None else shards(mesh)
    size = -(-CHUNK_BYTES // tree.nbytes(like(source, unit))) * unit
    parts, rows = len(source) // size, own_rows(size, mesh)
    for batch in data.batches(as_stream(source), data.InOrder(size), 0, parts, rows):
        yield data.ArraySource(put_rows(batch, rows, size, mesh, axis=0))
    if parts * size < len(source):
        yield everywhere(data.ArraySource(source[np.arange(parts * size, len(source))]), mesh)


def _means(rows: Callable[[Batch], PyTree], source: data.Source, batch_size: int) -> PyTree:
    """The means over all examples of what `rows` gives, arrays [examples of a batch, ...]."""
    length = len(source)
    size = min(batch_size, length)

    def sums(start: jax.Array) -> PyTree:
        # The last batch is filled up with copies of the last example, which do not count.
        places = start + jnp.arange(size)

        def total(row: jax.Array) -> jax.Array:
            counts = (places < length).reshape(-1, *[1] * (row.ndim - 1))
            return jnp.sum(jnp.where(counts, row, 0), axis=0, dtype=wide(row.dtype))

        return jax.tree.map(total, rows(source[jnp.minimum(places, length - 1)]))

    totals = lax.map(sums, jnp.arange(0, length, size))
    return jax.tree.map(lambda total: jnp.sum(total, axis=0) / length, totals)
