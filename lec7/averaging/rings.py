"""The latest parameters themselves, in a ring buffer on the device: to be averaged, or to be an ensemble."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from lec7 import schedules
from lec7.averaging.average import Due, Rule, average, check_dtype, every_so_often, where_kept
from lec7.ranges import WHOLE, check, check_count
from lec7.typing import Params, PyTree, Scalar, wide


class Latest(NamedTuple):
    """Parameters seen (int32 []), and the latest k of them, each leaf [k, ...]; the n-th, from 0, is at n mod k."""

    n: jax.Array
    ring: PyTree

    def averaged(self, params: Params) -> Params:
        """The mean of the latest parameters."""

        def mean(ring: jax.Array, x: jax.Array) -> jax.Array:
            k = len(ring)
            filled = (jnp.arange(k) < self.n).reshape(k, *[1] * x.ndim)
            total = jnp.sum(jnp.where(filled, ring, 0), axis=0, dtype=wide(ring.dtype))
            return jnp.where(self.n > 0, total / jnp.clip(self.n, 1, k), x)

        return where_kept(mean, self.ring, params)


class Snapshots(NamedTuple):
    """Parameters seen (int32 []), and the latest k of them, each leaf [k, ...]; the n-th, from 0, is at n mod k."""

    n: jax.Array
    ring: PyTree

    def members(self, params: Params) -> Params:
        """The snapshots in the order of time, with a leading axis of k; those not taken yet are the start's.

        Args:
            params: the parameters as they are; those of other groups are the same in all members.
        """
        k = len(jax.tree.leaves(self.ring)[0])
        order = (jnp.arange(k) + jnp.where(self.n > k, self.n, 0)) % k
        return where_kept(
            lambda ring, x: ring[order], self.ring, params, others=lambda x: jnp.broadcast_to(x, (k, *x.shape))
        )


Ring = TypeVar("Ring", Latest, Snapshots)
"""The one kind of ring or the other."""


def lawa(
    k: int, every: int | jax.Array = 1, dtype: DTypeLike | None = None, name: str = "lawa"
) -> optax.GradientTransformationExtraArgs:
    """The mean of the latest k parameters (latest weight averaging), `every` steps apart.

    Source: Kaddour, "Stop Wasting My Time! Saving Days of ImageNet and BERT Training with Latest Weight Averaging",
    2022; with the end of each epoch as `every`.

    Args:
        k: number of parameters that are kept, at least 1: so many times the memory of the model.
        every: steps from one that is kept to the next, at least 1.
        dtype: what they are kept in; by default the parameter's own. The mean is taken in float32 or wider.
        name: what it is called where there are several.

    Raises:
        InputError: a number is known and out of range; or `update` gets no params.

    >>> from lec7 import averaging
    >>> tx = lawa(2)
    >>> state = tx.init(jnp.array(0.0))
    >>> for x in (1.0, 2.0, 6.0):
    ...     _, state = tx.update(jnp.array(0.0), state, jnp.array(x))
    >>> float(averaging.averaged_params(state, jnp.array(6.0)))
    4.0
    """
    return average(name, *_ring(Latest, k, dtype), due=every_so_often(every))


def snapshots(
    k: int,
    period: Scalar,
    growth: Scalar = 1.0,
    start: int | jax.Array = 0,
    dtype: DTypeLike | None = None,
    name: str = "snapshots",
) -> optax.GradientTransformationExtraArgs:
    """Keeps the parameters at the end of each cycle, the latest k of them: members of a snapshot ensemble.

    The cycles are those of `schedules.cyclic_cosine(value, period, growth=growth)`; behind a
    `schedules.warmup(..., steps)`, `start` is its number of steps. The members stay on the device, in the optimizer's
    state; `snapshot_members` gives them, and `ensemble.predict` asks them all.

    Source: lecture 7, "Model Ensembles: Tips and Tricks"; Huang et al., "Snapshot Ensembles: Train 1, Get M for Free",
    2017.

    Args:
        k: number of members that are kept, at least 1: so many times the memory of the model.
        period: length of the first cycle in steps, above 0.
        growth: length of a cycle as a multiple of the one before, at least 1.
        start: number of steps ahead of the first cycle, at least 0.
        dtype: what they are kept in; by default the parameter's own, bit for bit.
        name: what they are called where there are several.

    Raises:
        InputError: a number is known and out of range; or `update` gets no params.

    >>> from lec7 import averaging
    >>> tx = snapshots(2, period=2)
    >>> state = tx.init(jnp.array(0.0))
    >>> for x in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0):
    ...     _, state = tx.update(jnp.array(0.0), state, jnp.array(x))
    >>> averaging.snapshot_members(state, jnp.array(7.0)).tolist()
    [4.0, 6.0]
    """
    check("start", start, WHOLE, "the number of steps ahead of the first cycle")
    first = jnp.asarray(start, jnp.int32)
    length = schedules.cycle(0, period, growth).length  # refuses what is out of range

    def ends(t: jax.Array) -> jax.Array:
        """Whether step t, the next one, is the first of a cycle and not of the first."""
        n, begin, _ = schedules.cycle(t - first, period, growth)
        return (n > 0) & (t - first - begin < 1)

    first_end = first + jnp.ceil(jnp.minimum(length, 2.0**30)).astype(jnp.int32)
    return average(name, *_ring(Snapshots, k, dtype), due=Due(first_end, ends))


def _ring(kind: type[Ring], k: int, dtype: DTypeLike | None) -> Rule[Ring]:
    """The rule: how it begins, and how it goes on."""
    check_count("k", k, "how many of the latest parameters to keep")
    check_dtype(dtype)

    def init(params: Params) -> Ring:
        # Copies, and not zeros: they are laid out over devices as the parameters are.
        ring = jax.tree.map(lambda x: jnp.broadcast_to(x.astype(dtype or x.dtype), (k, *x.shape)), params)
        return kind(jnp.zeros((), jnp.int32), ring)

    def observe(kept: Ring, x: Params, t: jax.Array) -> Ring:
        ring = jax.tree.map(lambda ring, x: ring.at[kept.n % k].set(x.astype(ring.dtype)), kept.ring, x)
        return kind(kept.n + 1, ring)

    return init, observe
