"""Averages of the weights of several models: one model, at the cost of one."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lec7 import tree
from lec7.errors import InputError
from lec7.models import Variables
from lec7.typing import wide

NO_MEMBERS = "the ensemble has no members, expected at least one"


class Greedy(NamedTuple):
    """What `greedy_soup` found.

    Attributes:
        variables: the soup.
        chosen: numbers of the members in it, in the order in which they came.
        score: its score.
    """

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
        InputError: there is no member, or they have arrays of other names or shapes.

    >>> import jax.numpy as jnp
    >>> members = Variables({"w": jnp.array([1.0, 2.0, 6.0])}, {})
    >>> float(soup(members).params["w"])
    3.0
    """
    first, *rest = _known(members)
    for number, one in enumerate(rest, start=1):
        _check_like(one, first, number)
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
    """One member after the other.

    Args:
        members: variables with a leading axis of members, or an iterable of variables.

    Yields:
        The variables of a member.

    Raises:
        InputError: arrays have no, or another number of, members.

    >>> import jax.numpy as jnp
    >>> [float(member.params) for member in each(Variables(jnp.array([1.0, 2.0]), {}))]
    [1.0, 2.0]
    """
    if not isinstance(members, Variables):
        yield from members
        return
    for i in range(check_stacked(members)):
        yield jax.tree.map(lambda x, i=i: x[i], members)


def check_stacked(members: Variables) -> int:
    """The number of members along the leading axis of each array; refuses variables that have no such axis."""
    lengths = {name: jnp.shape(leaf)[:1] for name, leaf in tree.named(members).items()}
    if len(set(lengths.values())) == 1 and (length := next(iter(lengths.values()))):
        if not length[0]:
            raise InputError(NO_MEMBERS)
        return length[0]
    few = ", ".join(f"{length[0] if length else 'none'} in {name}" for name, length in list(lengths.items())[:4])
    raise InputError(
        f"the members' arrays differ in their leading axis, of members ({few or 'there is no array'}); of one model "
        "give [variables], of several jax.tree.map(lambda *each: jnp.stack(each), *members)"
    )


def _check_like(one: Variables, first: Variables, number: int) -> None:
    """Refuses a member whose arrays are not named and shaped as those of the first."""
    shapes, expected = ({name: jnp.shape(x) for name, x in tree.named(of).items()} for of in (one, first))
    if odd := sorted(name for name in shapes | expected if shapes.get(name) != expected.get(name)):
        raise InputError(
            f"member {number} has {odd[0]} of shape {shapes.get(odd[0])}, member 0 of {expected.get(odd[0])}: "
            "expected members of one network"
        )


def _known(members: Variables | Iterable[Variables]) -> list[Variables]:
    known = list(each(members))
    if not known:
        raise InputError(NO_MEMBERS)
    return known


@jax.jit
def _stirred(mean: Variables, one: Variables, count: int) -> Variables:
    """The mean of one more."""
    return jax.tree.map(lambda mean, x: mean + (x - mean) / count, mean, one)
