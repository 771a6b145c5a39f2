"""Averages of the weights of several models: one model, at the cost of one."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax

from lec7.errors import InputError
from lec7.models import Variables
from lec7.typing import wide


class Greedy(NamedTuple):
    """The soup, the numbers of the members in it in the order in which they came, and its score."""

    variables: Variables
    chosen: tuple[int, ...]
    score: float


def soup(members: Variables | Iterable[Variables]) -> Variables:
    """The mean of the members' variables, leaf by leaf: one model.

    This is for members that share most of their training (snapshots of one run, fine-tunings of one network): weights
    of independent runs do not lie in one valley, and their mean is no better than chance. The mean of batch
    statistics is not what the mean weights give: see `models.refresh_statistics`.

    Source: Wortsman et al., "Model Soups", 2022, recipe "uniform soup".

    Args:
        members: variables with a leading axis of members, or an iterable of variables.

    Returns:
        Variables of one model; those of equal members, bit for bit.

    Raises:
        InputError: there is no member.

    >>> import jax.numpy as jnp
    >>> members = Variables({"w": jnp.array([1.0, 2.0, 6.0])}, {})
    >>> float(soup(members).params["w"])
    3.0
    """
    first, *rest = _known(members)
    mean = jax.tree.map(lambda x: x.astype(wide(x.dtype)), first)
    for count, one in enumerate(rest, start=2):
        # The mean so far, and not a sum: of equal members each difference is 0.
        mean = _stirred(mean, one, count)
    return jax.tree.map(lambda mean, x: mean.astype(x.dtype), mean, first)


def greedy_soup(members: Variables | Iterable[Variables], score: Callable[[Variables], float]) -> Greedy:
    """The best member, and of the others, from good to bad, each that makes the soup no worse.

    Source: Wortsman et al., "Model Soups", 2022, recipe 1 ("GreedySoup").

    Args:
        members: variables with a leading axis of members, or an iterable of variables.
        score: what is to be large, such as the accuracy on validation examples (not on those of the test); it is asked
            about each member and about each soup.

    Raises:
        InputError: there is no member, or the score is NaN for all of them. A NaN for some is worse than any number.

    >>> import jax.numpy as jnp
    >>> members = Variables({"w": jnp.array([4.0, 0.5, -1.0])}, {})
    >>> greedy_soup(members, lambda one: -abs(float(one.params["w"]))).chosen
    (1, 2)
    """
    known = _known(members)
    alone = [float(score(one)) for one in known]
    if all(map(math.isnan, alone)):
        raise InputError(
            f"the score is NaN for all {len(known)} members, expected a number that is large for good ones"
        )
    alone = [-math.inf if math.isnan(points) else points for points in alone]
    best, *others = sorted(range(len(known)), key=lambda i: -alone[i])
    made = Greedy(known[best], (best,), alone[best])
    for i in others:
        chosen = (*made.chosen, i)
        tried = soup([known[j] for j in chosen])
        if (tasted := float(score(tried))) >= made.score:
            made = Greedy(tried, chosen, tasted)
    return made


def each(members: Variables | Iterable[Variables]) -> Iterator[Variables]:
    """One member after the other."""
    if not isinstance(members, Variables):
        yield from members
        return
    for i in range(jax.tree.leaves(members)[0].shape[0]):
        yield jax.tree.map(lambda x, i=i: x[i], members)


def _known(members: Variables | Iterable[Variables]) -> list[Variables]:
    known = list(each(members))
    if not known:
        raise InputError("the ensemble has no members, expected at least one")
    return known


@jax.jit
def _stirred(mean: Variables, one: Variables, count: int) -> Variables:
    """The mean of one more."""
    return jax.tree.map(lambda mean, x: mean + (x - mean) / count, mean, one)
