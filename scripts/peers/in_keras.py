"""Keras on JAX: `compile` and `fit`."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import layers

from peers.task import (
    CHANNELS,
    EVALUATED_EVERY,
    HIDDEN,
    LABELS,
    LEARNING_RATE,
    MOST_STEPS,
    Arrays,
    Call,
    Task,
    reach,
    rows_of,
)


def network(kind: str) -> keras.Sequential:
    """Of images [n, 28, 28, 1]."""
    if kind == "mlp":
        hidden = layers.Dense(HIDDEN, activation="relu"), layers.Dense(HIDDEN, activation="relu")
        return keras.Sequential([layers.Input((28, 28, 1)), layers.Flatten(), *hidden, layers.Dense(LABELS)])
    convolutions = [
        layer
        for n in CHANNELS
        for layer in (layers.Conv2D(n, 3, padding="same", activation="relu"), layers.MaxPooling2D())
    ]
    hidden = layers.Flatten(), layers.Dense(HIDDEN, activation="relu")
    return keras.Sequential([layers.Input((28, 28, 1)), *convolutions, *hidden, layers.Dense(LABELS)])


def compiled(kind: str, every: int) -> keras.Sequential:
    """The network, ready to be trained."""
    keras.utils.set_random_seed(0)
    net = network(kind)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(LEARNING_RATE), loss, metrics=["accuracy"], steps_per_execution=every)
    return net


def steps(task: Task, arrays: Arrays) -> Call:
    """An epoch is as long as a call, and an execution as long as a window."""
    net, (images, labels) = compiled(task.kind, task.every), arrays.as_floats()
    window = task.every * task.batch_size
    most = len(images) // window

    def call(times: int) -> float:
        while times > 0:
            n = min(times, most) * window
            history = net.fit(images[:n], labels[:n], task.batch_size, epochs=1, verbose=0)
            times -= most
        return history.history["loss"][-1]

    return call


def until(arrays: Arrays, test: Arrays, enough) -> None:
    """Trains until that is enough; what it calls an epoch is as long as from one evaluation to the next."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = enough(logs["val_accuracy"])

    net, batch_size = compiled("cnn", EVALUATED_EVERY), 128
    train, held_out = arrays.as_floats(), test.as_floats()

    def forever():
        for row in rows_of(len(train.images), batch_size):
            yield train.images[row], train.labels[row]

    net.fit(
        forever(),
        steps_per_epoch=EVALUATED_EVERY,
        epochs=MOST_STEPS // EVALUATED_EVERY,
        validation_data=held_out,
        validation_batch_size=1000,
        callbacks=[Stop()],
        verbose=0,
    )


if __name__ == "__main__":
    reach(until)
