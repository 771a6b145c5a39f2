"""All that training carries from step to step."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lec7 import averaging, random
from lec7.errors import InputError, short
from lec7.models import Model, Variables
from lec7.models.contract import ModelState
from lec7.typing import Key, Params, PyTree


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """What a step takes and gives.

    Attributes:
        step: steps taken so far, int32 [].
        key: the base key, which never changes.
        params: a pytree of arrays.
        model_state: that of `models.Variables`.
        opt_state: the optimizer's, averages included.
    """

    step: jax.Array
    key: Key
    params: Params
    model_state: ModelState
    opt_state: PyTree

    @property
    def steps_taken(self) -> int:
        """The number of steps, read from the device; of lanes, which keep pace, it is the same for all."""
        return int(np.ravel(jax.device_get(self.step))[0])

    @property
    def variables(self) -> Variables:
        """What the model is called with, parameters as they are."""
        return Variables(self.params, self.model_state)

    @property
    def averaged(self) -> Variables:
        """What the model is evaluated with: the averaged parameters where the optimizer keeps an average.

        Batch statistics are those of the parameters as they are; `train.make_refresh` has the averaged ones' own.

        Raises:
            InputError: the optimizer keeps several averages; `averaging.averaged_params` gives each by its name.
        """
        if not averaging.names(self.opt_state):
            return self.variables
        return Variables(averaging.averaged_params(self.opt_state, self.params), self.model_state)

    replace = replace


def init(key: Key, model: Model, optimizer: optax.GradientTransformation, inputs: Any) -> TrainState:
    """The state before the first step.

    Args:
        key: base key of the run, from which every stream of it comes.
        model: its `init` gets the stream `"init"` of the key.
        optimizer: any Optax transformation.
        inputs: a batch as the model sees it; its shapes and dtypes count.

    Raises:
        InputError: two averages in the optimizer have one name, two transforms take snapshots, or one of either stands
            where it can't count right; or the optimizer is none.

    >>> import jax.numpy as jnp, lec7
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(3, (), 2, rngs=rngs))
    >>> int(init(jax.random.key(0), model, lec7.optim.sgd(0.1), jnp.zeros((1, 3))).step)
    0
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise InputError(
            f"the optimizer is {short(optimizer)}, expected an Optax transformation, such as optim.sgd(0.1)"
        )
    params, model_state = model.init(random.stream(key, "init"), inputs)
    opt_state = optimizer.init(params)
    # These refuse what can't be told apart, or can't count right.
    averaging.averages(opt_state, params)
    averaging.snapshots_in(opt_state)
    state = TrainState(jnp.zeros((), jnp.int32), key, params, model_state, opt_state)
    # A state's memory is handed on from step to step: it must not be the caller's, nor shared within.
    return jax.tree.map(jnp.copy, state)
