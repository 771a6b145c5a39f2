"""Averages of the parameters (Polyak) as gradient transformations that go last in a chain.

They see `params + updates`, leave the updates as they are, and keep the average in their state:

>>> import jax.numpy as jnp, optax
>>> tx = optax.chain(optax.sgd(0.1), ema(0.9))
>>> params = {"w": jnp.array(1.0)}
>>> state = tx.init(params)
>>> updates, state = tx.update({"w": jnp.array(1.0)}, state, params)
>>> params = optax.apply_updates(params, updates)
>>> round(float(averaged_params(state, params)["w"]), 6)
0.9
"""

from lec7.averaging.average import Average, AverageState, Due, average
from lec7.averaging.ema import Ema, ema
from lec7.averaging.find import (
    averaged_params,
    averages,
    begun,
    begun_arrays,
    names,
    put_in,
    snapshot_members,
    snapshots_in,
    take_out,
)
from lec7.averaging.means import Mean, polyak_ruppert, swa
from lec7.averaging.power import Power, power_ema, reconstruct
from lec7.averaging.rings import Latest, Snapshots, lawa, snapshots

__all__ = [
    "Average",
    "AverageState",
    "Due",
    "Ema",
    "Latest",
    "Mean",
    "Power",
    "Snapshots",
    "average",
    "averaged_params",
    "averages",
    "begun",
    "begun_arrays",
    "ema",
    "lawa",
    "names",
    "polyak_ruppert",
    "power_ema",
    "put_in",
    "reconstruct",
    "snapshot_members",
    "snapshots",
    "snapshots_in",
    "swa",
    "take_out",
]
