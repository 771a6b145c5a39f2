"""What pytest is told beside mutants: `scripts/mutation.py` lays this file into its copies as `conftest.py`."""

import doctest
import inspect
import json
import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest
from mutmut.state import state

import lec7

assert Path.cwd() in Path(lec7.__file__).parents, f"{lec7.__file__} is not the mutated lec7 of {Path.cwd()}"

MUTANT = os.environ.get("MUTANT_UNDER_TEST")
"""Its name; or "stats" where a run finds out which test calls which function, "fail" where all mutated code raises, and
"" where none does."""
is_from = doctest.DocTestFinder._from_module
called_by_fixture: dict[str, set[str]] = defaultdict(set)


def is_from_unmutated(self: doctest.DocTestFinder, module: ModuleType, thing: Any) -> bool:
    """Doctests are those of the functions as they are, not of each mutant, and not of the wrapper of both."""
    if "__mutmut_" in getattr(thing, "__name__", ""):
        return False
    return is_from(self, module, inspect.unwrap(thing) if inspect.isroutine(thing) else thing)


doctest.DocTestFinder._from_module = is_from_unmutated  # pytest's finder asks it, too


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the least time comes first: most mutants are killed by more than one test."""
    stats = Path("mutmut-stats.json")
    seconds = json.loads(stats.read_text())["duration_by_test"] if stats.exists() else {}
    items.sort(key=lambda item: seconds.get(item.nodeid, 0))
    if MUTANT in ("", "fail"):  # all have passed under "stats"
        del items[20:]


if MUTANT == "stats":

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """What a fixture calls once is called for each test that uses it."""
        before, state()._stats = state()._stats, set()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                called_by_fixture[fixturedef.argname] |= state()._stats
            state()._stats |= before

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(item: pytest.Function) -> None:
        """What was traced for an earlier test is traced for this one as well."""
        state()._stats.update(*(called_by_fixture[name] for name in item.fixturenames))
        jax.clear_caches()
