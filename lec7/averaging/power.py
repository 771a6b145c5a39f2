"""Averages whose length grows with training, and may be chosen when it is over."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.typing import DTypeLike

from lec7 import tree
from lec7.averaging.average import AverageState, average, check_dtype, check_single, interval, where_kept
from lec7.errors import InputError
from lec7.ranges import Range, check
from lec7.typing import Params, PyTree, Scalar, is_traced, wide

LENGTH = Range("a number in (0, 0.288]", lambda x: 0 < x <= 0.288)
MEANING = "the standard deviation of an average's weights over the steps, as a part of all steps"
NEWTON_STEPS = 40


class Power(NamedTuple):
    """Two averages, and what they were at earlier steps.

    Attributes:
        gamma: exponents of the two, [2].
        tracks: the averages, each leaf [2, ...].
        every: steps from one snapshot to the next, int32 [].
        taken: number of snapshots, int32 [], at most k.
        times: the steps that they were taken after, int32 [k].
        snapshots: the tracks at these steps, each leaf [k, 2, ...].
    """

    gamma: jax.Array
    tracks: PyTree
    every: jax.Array
    taken: jax.Array
    times: jax.Array
    snapshots: PyTree

    def averaged(self, params: Params) -> Params:
        """The first, and shorter, of the two averages."""
        return where_kept(lambda tracks, x: tracks[0], self.tracks, params)


def power_ema(
    lengths: tuple[Scalar, Scalar] = (0.05, 0.10),
    k: int = 16,
    every: int | jax.Array = 1,
    dtype: DTypeLike | None = None,
    name: str = "power_ema",
) -> optax.GradientTransformationExtraArgs:
    """Averages whose length is a part of the steps taken, and snapshots from which `reconstruct` gets any other.

        x_test = b * x_test + (1 - b) * x,   b = (1 - 1/t) ** (gamma + 1)

    After t steps, the parameters of step s weigh `(s**(gamma+1) - (s-1)**(gamma+1)) / t**(gamma+1)`: the beginning is
    forgotten as training goes on, however long it lasts. A length of 0.1 means weights whose standard deviation is a
    tenth of the steps. Two such averages are kept, and k snapshots of both.

    Source: Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion Models", 2024, section 3,
    equations 4 and 5.

    Args:
        lengths: the two lengths (the paper's sigma_rel), in (0, 0.288], the shorter first; it is the one to evaluate.
        k: number of snapshots that are kept, even: 2 * (k + 1) times the memory of the model. When they are all
            taken, each second one is given up and the distance doubles.
        every: steps from one snapshot to the next, at first.
        dtype: what the averages are kept in; by default float32, or the parameter's where that is wider.
        name: what it is called where there are several.

    Raises:
        InputError: a number is known and out of range, or the lengths are not two in order; or `update` gets no params.

    >>> from lec7 import averaging
    >>> tx, x = power_ema(), jnp.array(100.0)
    >>> step = lambda state, x: (tx.update(0 * x, state, x)[1], None)
    >>> state, _ = lax.scan(step, tx.init(x), jnp.arange(1.0, 101.0))
    >>> round(float(averaging.averaged_params(state, x)), 1)
    95.2
    >>> round(float(averaging.reconstruct(state, x, 0.2)), 1)
    74.5
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 2 or k % 2:
        raise InputError(f"k is {k!r}, expected how many snapshots to keep: an even int of at least 2")
    if len(lengths) != 2:
        raise InputError(f"lengths are {lengths}, expected two, the shorter first, such as (0.05, 0.10)")
    for number, length in enumerate(lengths):
        check(f"lengths[{number}]", length, LENGTH, MEANING)
    if not any(map(is_traced, lengths)) and lengths[0] >= lengths[1]:
        raise InputError(f"lengths are {lengths}, expected the shorter first, such as (0.05, 0.10)")
    check_dtype(dtype)
    gamma = _gamma(jnp.stack([jnp.asarray(length, float) for length in lengths]))
    steps = interval("every", every, "the number of steps from one snapshot to the next")

    def init(params: Params) -> Power:
        def tracks(x: jax.Array) -> jax.Array:
            return jnp.broadcast_to(x.astype(dtype or wide(x.dtype)), (2, *x.shape))

        start = jax.tree.map(tracks, params)
        snapshots = jax.tree.map(lambda track: jnp.broadcast_to(track, (k, *track.shape)), start)
        return Power(jnp.array(gamma), start, jnp.array(steps), jnp.int32(0), jnp.zeros(k, jnp.int32), snapshots)

    def observe(kept: Power, x: Params, t: jax.Array) -> Power:
        part = -jnp.expm1((kept.gamma + 1) * jnp.log1p(-1.0 / t))  # 1 - b, which is lost in b for many steps

        def step(tracks: jax.Array, x: jax.Array) -> jax.Array:
            mine = part.reshape(2, *[1] * x.ndim)
            return (tracks + mine * (x[None] - tracks)).astype(tracks.dtype)

        kept = kept._replace(tracks=jax.tree.map(step, kept.tracks, x))
        return lax.cond(t % kept.every == 0, lambda: _taken(kept, t), lambda: kept)

    return average(name, init, observe)


def _taken(kept: Power, t: jax.Array) -> Power:
    """With a snapshot of step t; or, where all are taken, with half of them, at the even multiples of `every`."""
    k = len(kept.times)

    def store():
        return kept._replace(
            taken=kept.taken + 1,
            times=kept.times.at[kept.taken].set(t),
            snapshots=jax.tree.map(lambda all, now: all.at[kept.taken].set(now), kept.snapshots, kept.tracks),
        )

    def thin():
        # The step at hand is an odd multiple, the (k + 1)-th, and so is not stored.
        halved = jax.tree.map(lambda all: jnp.concatenate([all[1::2], all[1::2]]), (kept.times, kept.snapshots))
        return kept._replace(every=2 * kept.every, taken=jnp.int32(k // 2), times=halved[0], snapshots=halved[1])

    return lax.cond(kept.taken < k, store, thin)


def reconstruct(opt_state: PyTree, params: Params, length: float, name: str = "power_ema") -> Params:
    """The average of any length, over the steps taken so far, from what `power_ema` kept.

    It is the combination of all snapshots whose weights over the steps are nearest to the wanted ones. Call it outside
    of `jit`: the combination is worked out in double precision.

    Source: Karras et al., 2024, section 3.2 and algorithm 3.

    Args:
        opt_state: state of an optimizer with `power_ema` somewhere in it.
        params: the parameters as they are now.
        length: the wanted length, in (0, 0.288].
        name: which one, where there are several.

    Returns:
        Parameters, shaped and typed as `params`.

    Raises:
        InputError: there is no `power_ema` of that name, it has seen no step, or the length is out of range; or the
            state is that of several runs.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> tx = averaging.power_ema()
    >>> x = jnp.array(1.0)
    >>> _, state = tx.update(jnp.array(0.0), tx.init(x), x)
    >>> round(float(reconstruct(state, x, 0.2)), 3)
    1.0
    """
    check("length", length, LENGTH, MEANING)
    found = [
        state for state in tree.nodes(opt_state, AverageState) if isinstance(state.kept, Power) and state.name == name
    ]
    for state in found:
        check_single(state)
    if not any(int(state.t) for state in found):
        raise InputError(
            f"the optimizer state holds no power_ema {name!r} that has seen a step; "
            "end the chain with averaging.power_ema() and train"
        )
    for state in found:
        params = _reconstructed(state, params, length)
    return params


def _reconstructed(state: AverageState, params: Params, length: float) -> Params:
    kept, t = state.kept, int(state.t)
    taken = int(kept.taken)
    times = np.append(np.asarray(kept.times[:taken]), t)
    own = np.asarray(kept.gamma, np.float64)
    weights = solve(
        np.repeat(times, 2).astype(float), np.tile(own, taken + 1), float(t), float(_gamma(np.float64(length)))
    ).reshape(taken + 1, 2)

    def combined(tracks: jax.Array, snapshots: jax.Array) -> jax.Array:
        all = jnp.concatenate([snapshots[:taken], tracks[None]])
        all = all.astype(wide(all.dtype))
        return jnp.tensordot(jnp.asarray(weights, all.dtype), all, axes=2, precision=lax.Precision.HIGHEST)

    mean = jax.tree.map(combined, kept.tracks, kept.snapshots)
    return where_kept(lambda mean, x: mean, mean, params)


def solve(times: np.ndarray, gammas: np.ndarray, t: float, gamma: float) -> np.ndarray:
    """How much of each average makes up one of exponent `gamma` at step `t`: float64 [n], whose sum is 1.

    Least squares over weights, and no less in sum: a long average of short ones would be drawn to 0 by what they lack.

    The weights of an average over the steps s in (0, t) are `(gamma + 1) * s**gamma / t**(gamma + 1)`. Of two averages,
    the integral of their weights' product is

        (g + 1) * (h + 1) * (t / u)**e / ((g + h + 1) * max(t, u)),   e = h if t < u else -g

    With these, A of the averages and b of them with the wanted one, and y a multiplier, that is

        A @ w + y = b,   sum(w) = 1

    Source: Karras et al., 2024, equation 7 and appendix C, but for the sum.

    Args:
        times: steps of the averages, [n].
        gammas: their exponents, [n].
        t: step of the wanted one.
        gamma: its exponent.

    >>> import numpy as np
    >>> w = solve(np.array([50.0, 100.0]), np.array([7.0, 7.0]), 100.0, 7.0)
    >>> [abs(round(part, 6)) for part in w.tolist()]
    [0.0, 1.0]
    """

    def products(t: np.ndarray, g: np.ndarray, u: np.ndarray | float, h: np.ndarray | float) -> np.ndarray:
        return (g + 1) * (h + 1) * (t / u) ** np.where(t < u, h, -g) / ((g + h + 1) * np.maximum(t, u))

    column = times[:, None], gammas[:, None]
    gram, wanted = products(*column, times[None], gammas[None]), products(*column, t, gamma)
    free, all_alike = np.linalg.lstsq(gram, np.hstack([wanted, np.ones_like(wanted)]), rcond=None)[0].T
    return free + (1 - free.sum()) / all_alike.sum() * all_alike


def _gamma(length: Any) -> Any:
    """The exponent of a length: the largest root of `(gamma + 1) / ((gamma + 2)**2 * (gamma + 3)) = length**2`.

    Of a number or an array, NumPy's or JAX's. Newton's method from above, on the cubic, which is convex there.

    Source: Karras et al., 2024, equation 6 and algorithm 2.
    """
    q = length**-2
    gamma = 1 / length
    for _ in range(NEWTON_STEPS):
        value = ((gamma + 7) * gamma + 16 - q) * gamma + 12 - q
        gamma = gamma - value / ((3 * gamma + 14) * gamma + 16 - q)
    return gamma
