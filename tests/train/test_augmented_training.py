"""Augmentation in the training step: drawn from its own stream, on the batch that is trained on and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import augment, data, experiment, losses, models, random
from lec7.errors import InputError


def classifier(classes=10):
    def init(key, inputs):
        return models.Variables({"w": jnp.zeros((inputs[0].size, classes))}, {})

    def apply(variables, inputs, *, train, key=None):
        return inputs.reshape(len(inputs), -1) @ variables.params["w"], variables.state

    return models.Model(init, apply)


def an_experiment(**changes):
    train_set, test_set = data.digits()
    return experiment.Experiment(
        model=classifier(),
        loss=losses.cross_entropy,
        optimizer=optax.sgd(0.1),
        train=train_set,
        test=test_set,
        **{"steps": 2, "batch_size": 8} | changes,
    )


@pytest.mark.slow
def test_a_step_trains_on_what_the_augmentation_makes_of_the_batch_at_its_step():
    more = augment.on_batch(augment.pipeline(augment.random_crop(8, pad=2)), augment.mixup(1.0), classes=10)
    one = an_experiment(augment=more)
    state, batch = one.init(), one.train[:8]
    new, metrics = jax.jit(one.make_step())(state, batch)
    by_hand = more(random.stream(state.key, "augment", 0), batch)
    expected, same = jax.jit(an_experiment().make_step())(state, by_hand)
    np.testing.assert_allclose(new.params["w"], expected.params["w"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(metrics["loss"], same["loss"], rtol=1e-6)
    plain, _ = jax.jit(an_experiment().make_step())(state, batch)
    assert not np.allclose(new.params["w"], plain.params["w"], atol=1e-4)


def test_each_step_draws_anew_and_a_run_is_reproducible():
    one = an_experiment(augment=augment.on_batch(augment.pipeline(augment.random_crop(8, pad=2))))
    step, batch = jax.jit(one.make_step()), one.train[:8]
    first, _ = step(one.init(), batch)
    again, _ = step(one.init(), batch)
    np.testing.assert_array_equal(first.params["w"], again.params["w"])
    later, _ = step(one.init().replace(step=jnp.int32(1)), batch)
    assert not np.array_equal(first.params["w"], later.params["w"])


def test_the_evaluation_sees_examples_as_they_are():
    gone = augment.on_batch(augment.pipeline(augment.erase(scale=(0.99, 1.0), ratio=(1.0, 1.0))))
    one, other = an_experiment(augment=gone), an_experiment()
    state = other.init()
    state = state.replace(params={"w": jax.random.normal(jax.random.key(1), state.params["w"].shape)})
    np.testing.assert_array_equal(
        one.make_evaluate()(state.variables, one.test)["loss"], other.make_evaluate()(state.variables, one.test)["loss"]
    )


def test_what_an_augmentation_can_not_do_is_refused_before_the_run():
    with pytest.raises(InputError, match=r"random_crop takes 9 x 9 pixels of images of 8 x 8"):
        experiment.check(an_experiment(augment=augment.on_batch(augment.pipeline(augment.random_crop(9)))))
    with pytest.raises(InputError, match="classes=10"):
        experiment.check(an_experiment(augment=augment.on_batch(None, augment.cutmix())))
    experiment.check(an_experiment(augment=augment.on_batch(None, augment.cutmix(), classes=10)))
    with pytest.raises(InputError, match=r"for batches it is augment\.on_batch"):
        an_experiment(augment=augment.pipeline(augment.mirror())).make_step()
    with pytest.raises(InputError, match=r"penalty is 0\.1, expected a function"):
        an_experiment(penalty=0.1).make_step()
    with pytest.raises(InputError, match="expected values by name"):
        experiment.check(an_experiment(penalty=lambda params: jnp.sum(params["w"] ** 2)))
