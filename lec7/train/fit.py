"""The training loop."""

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from lec7 import data, random, tree
from lec7.data.order import check_batch_size
from lec7.train.feed import CHUNK_BYTES, Ahead, as_stream, chunks, like
from lec7.train.placement import everywhere
from lec7.train.run import Draw, draw, jit, scan, stacked
from lec7.train.sharded import Sharded, check_rows
from lec7.train.state import TrainState
from lec7.train.step import Step
from lec7.typing import Metrics

WAITING = "waiting_for_data"
"""The metric that tells for which share of a window the device stood still, since its batches were not there yet."""


def fit(
    step: Step,
    state: TrainState,
    source: data.Source,
    *,
    steps: int,
    batch_size: int,
    every: int = 50,
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains until step `steps`, and yields after each dispatch of `every` steps.

    A window ends at each multiple of `every`, wherever training starts, so that a resumed run's windows are
    the uninterrupted one's. What is yielded is still being computed: look at it late, or pay by waiting. The
    state's memory goes to the next window: keep a copy, not the state.

    Args:
        step: from `make_step`; or from `sharded`, and each batch is dealt out over its mesh.
        state: where to start, at any step.
        source: the training examples. An `ArraySource` is on the device, and a window is one dispatch; any other is
            read on the host ahead of time, see `data.stream`, and its order is the same.
        steps: number of steps at the end, those already taken included.
        batch_size: examples a step.
        every: steps a dispatch.

    Yields:
        The state after the window, and its metrics, an array [steps of the window] each. Of examples that are read on
        the host there is one more, `"waiting_for_data"`: for which share of the window's time the device stood still.

    Raises:
        InputError: the batch is larger than the data set, or the devices of a mesh don't divide it; what the source
            raises.

    >>> import lec7, jax
    >>> train, test = lec7.data.digits()
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (32,), 10, rngs=rngs))
    >>> optimizer = lec7.optim.adam(1e-2)
    >>> step = lec7.train.make_step(model, lec7.losses.cross_entropy, optimizer)
    >>> state = lec7.train.init(jax.random.key(0), model, optimizer, train[:1]["image"])
    >>> for state, metrics in fit(step, state, train, steps=100, batch_size=64):
    ...     print(int(state.step), metrics["loss"].shape)
    50 (50,)
    100 (50,)
    """
    program = _program(step, source, batch_size, every)
    if isinstance(source, data.ArraySource):
        resident = everywhere(source, program.mesh)
        yield from windows(lambda state, count: program.run(state, resident, count), state, steps=steps, every=every)
    else:
        yield from _fit_stream(program, state, as_stream(source), steps, batch_size, every)


def trace(step: Step, state: TrainState, source: data.Source, *, batch_size: int, every: int = 50) -> None:
    """Looks for what `fit` would fail at, without computing anything: it raises the same errors.

    What is traced here, `fit` need not trace again.

    Args:
        step: as in `fit`; so are the others.
        state: where to start, or its shapes: `jax.eval_shape` of what makes it.
        source: the training examples.
        batch_size: examples a step.
        every: steps a dispatch.
    """
    program = _program(step, source, batch_size, every)
    examples = source
    if not isinstance(source, data.ArraySource):
        one = like(source, batch_size)
        examples = {name: jax.ShapeDtypeStruct((program.most, *x.shape), x.dtype) for name, x in one.items()}
    jax.eval_shape(program.run, state, examples, 1)


class _Program(NamedTuple):
    """What runs the steps of a window, on the device or on what is brought there.

    Attributes:
        run: from a state, examples, and how many steps to take, to the state after them and metrics [most].
        most: steps that a dispatch has room for.
        mesh: the devices that share a batch; None for the one that there is.
    """

    run: Callable[..., tuple[TrainState, Metrics]]
    most: int
    mesh: Mesh | None


def _program(step: Step, source: data.Source, batch_size: int, every: int) -> _Program:
    check_batch_size(batch_size, len(source))
    mesh = step.mesh if isinstance(step, Sharded) else None
    if mesh is not None:
        check_rows(batch_size, mesh)
    if isinstance(source, data.ArraySource):
        return _Program(_compiled(step, every, draw(batch_size, mesh)), every, mesh)
    share = tree.nbytes(like(source, batch_size)) // jax.process_count()
    most = min(every, max(1, CHUNK_BYTES // share))
    return _Program(_compiled(step, most, stacked), most, mesh)


def _fit_stream(
    program: _Program, state: TrainState, stream: data.Stream, steps: int, batch_size: int, every: int
) -> Iterator[tuple[TrainState, Metrics]]:
    """The same of examples on the host: a window is a dispatch, or several where its batches weigh too much."""
    start, most = state.steps_taken, program.most
    lengths = (stop - begin for begin, stop in _windows(start, steps, every))
    counts = (min(most, length - done) for length in lengths for done in range(0, length, most))
    order = data.HostOrder(random.stream(state.key, "order"), len(stream), batch_size)
    with Ahead(chunks(stream, order, counts, start, steps, most, program.mesh), stream.ahead) as feed:
        last: Any = state.step  # of the latest dispatch
        clock = time.monotonic()

        def window(state: TrainState, length: int) -> tuple[TrainState, Metrics]:
            nonlocal last, clock
            parts, waited = [], feed.waited
            for done in range(0, length, most):
                chunk = feed.next(is_idle=lambda: last.is_ready())  # noqa: B023  # it is asked at once
                state, rows = program.run(state, chunk, count := min(most, length - done))
                parts.append({name: row[:count] for name, row in rows.items()})
                last = rows["loss"]
            before, clock = clock, time.monotonic()
            share = (feed.waited - waited) / max(clock - before, 1e-9)
            joined = {name: jnp.concatenate([part[name] for part in parts]) for name in parts[0]}
            return state, joined | {WAITING: jnp.full(length, share)}

        yield from windows(window, state, steps=steps, every=every)


def _windows(start: int, stop: int, every: int) -> Iterator[tuple[int, int]]:
    """The windows from one step to another: each ends at a multiple of `every`, wherever the first begins.

    >>> list(_windows(3, 12, 5))
    [(3, 5), (5, 10), (10, 12)]
    """
    while start < stop:
        end = min(start - start % every + every, stop)
        yield start, end
        start = end


def windows(
    run: Callable[[TrainState, int], tuple[TrainState, Metrics]], state: TrainState, *, steps: int, every: int
) -> Iterator[tuple[TrainState, Metrics]]:
    """The loop of `fit` around any compiled run of so many steps, such as one of many `lanes`.

    Args:
        run: from a state and a number of steps, at most `every`, to the state after them and metrics [..., every].
        state: where to start, at any step; of lanes, all at the same.
        steps: number of steps at the end, those already taken included.
        every: steps a dispatch.

    Yields:
        The state after the window, and its metrics, an array [..., steps of the window] each.

    >>> def run(state, count):
    ...     return state.replace(step=state.step + count), {"loss": jnp.zeros(50)}
    >>> state = TrainState(jnp.int32(30), jax.random.key(0), {}, {}, ())
    >>> [(int(state.step), metrics["loss"].shape) for state, metrics in windows(run, state, steps=110, every=50)]
    [(50, (20,)), (100, (50,)), (110, (10,))]
    """
    for begin, end in _windows(state.steps_taken, steps, every):
        state, rows = run(state, length := end - begin)
        yield state, rows if length == every else {name: row[..., :length] for name, row in rows.items()}


@lru_cache(maxsize=32)
def _compiled(step: Step, most: int, draw: Draw) -> Callable[..., Any]:
    """One program for a step, however often `fit` is called with it."""
    return jit(scan(step, most, draw))
