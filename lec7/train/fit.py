"""The training loop."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from lec7 import data
from lec7.data.order import check_batch_size
from lec7.train.run import draw, jit, scan
from lec7.train.state import TrainState
from lec7.train.step import Step
from lec7.typing import Metrics


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
        step: from `make_step`.
        state: where to start, at any step.
        source: the training examples, on the device.
        steps: number of steps at the end, those already taken included.
        batch_size: examples a step.
        every: steps a dispatch.

    Yields:
        The state after the window, and its metrics, an array [steps of the window] each.

    Raises:
        InputError: the batch is larger than the data set.

    >>> import lec7, jax
    >>> train, test = lec7.data.digits()
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (32,), 10, rngs=rngs))
    >>> optimizer = lec7.optim.adam(1e-2)
    >>> step = lec7.train.make_step(model, lec7.losses.cross_entropy, optimizer)
    >>> state = lec7.train.init(model, optimizer, jax.random.key(0), train[:1]["image"])
    >>> for state, metrics in fit(step, state, train, steps=100, batch_size=64):
    ...     print(int(state.step), metrics["loss"].shape)
    50 (50,)
    100 (50,)
    """
    check_batch_size(batch_size, len(source))
    run = _compiled(step, every, batch_size)
    yield from windows(lambda state, count: run(state, source, count), state, steps=steps, every=every)


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
    """
    at = state.steps_taken
    while at < steps:
        window = min(every - at % every, steps - at)
        state, rows = run(state, window)
        at += window
        yield state, rows if window == every else {name: row[..., :window] for name, row in rows.items()}


@lru_cache(maxsize=32)
def _compiled(step: Step, every: int, batch_size: int) -> Callable[..., Any]:
    """One program for a step, however often `fit` is called with it."""
    return jit(scan(step, every, draw(batch_size)))
