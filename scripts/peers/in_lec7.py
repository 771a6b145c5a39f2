"""lec7: a step, and `train.fit`."""

from functools import partial

import jax

from lec7 import data, losses, models, optim, train
from lec7.bench.training import fitting
from peers import in_nnx
from peers.task import EVALUATED_EVERY, LEARNING_RATE, MOST_STEPS, Arrays, Call, Task, reach

network = partial(in_nnx.network, convolution=models.convolution(), pool=models.max_pool)
"""Flax NNX's, with lec7's convolution and pooling."""


def prepared(kind: str, arrays: Arrays):
    """What `train.fit` takes."""
    source = data.ArraySource({"image": arrays.images, "label": arrays.labels})
    model, optimizer = models.from_nnx(partial(network, kind)), optim.adam(LEARNING_RATE)
    state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
    return model, train.make_step(model, losses.cross_entropy, optimizer), state, source


def steps(task: Task, arrays: Arrays) -> Call:
    """Training as lec7 does it."""
    _, step, state, source = prepared(task.kind, arrays)
    return fitting(step, state, source, task.batch_size, task.every)


def until(arrays: Arrays, test: Arrays, enough) -> None:
    """Trains until that is enough."""
    model, step, state, source = prepared("cnn", arrays)
    evaluate = jax.jit(train.make_evaluate(model, losses.cross_entropy))
    held_out = data.ArraySource({"image": test.images, "label": test.labels})
    for state, _ in train.fit(step, state, source, steps=MOST_STEPS, batch_size=128, every=EVALUATED_EVERY):
        if enough(float(evaluate(state.variables, held_out)["accuracy"])):
            return


if __name__ == "__main__":
    reach(until)
