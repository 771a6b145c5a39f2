"""What pytest is told beside mutants: `scripts/mutation.py` lays this file into its copies as `conftest.py`."""

import contextlib
import doctest
import inspect
import json
import os
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator
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
called_once: dict[str, set[str]] = defaultdict(set)
"""What is called where a fixture is made, by its name; or where a file of tests is imported, by its path."""


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

    @contextlib.contextmanager
    def noted(name: str) -> Iterator[None]:
        """What is called here is called for each test that has to do with the fixture, or file, of this name."""
        before, state()._stats = state()._stats, set()
        try:
            yield
        finally:
            called_once[name] |= state()._stats
            state()._stats |= before

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        with noted(fixturedef.argname) if fixturedef.scope != "function" else contextlib.nullcontext():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
        if not isinstance(collector, pytest.Module):
            return (yield)
        for name, module in list(sys.modules.items()):  # what files of tests share calls things, too: for each anew
            is_shared = Path("tests").resolve() in Path(getattr(module, "__file__", None) or "").parents
            if is_shared and not name.startswith(("test_", "conftest")):
                del sys.modules[name]
        with noted(collector.nodeid):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(item: pytest.Function) -> None:
        """What was traced for an earlier test is traced for this one as well."""
        names = (*getattr(item, "fixturenames", ()), item.nodeid.partition("::")[0])
        state()._stats.update(*(called_once[name] for name in names))
        jax.clear_caches()
