"""Would the tests notice? Changes lec7 in one place at a time, and counts how many of these mutants a test kills.

    .venv/bin/pip install -e .[mutation] -c scripts/constraints/3.11.txt
    .venv/bin/python scripts/mutation.py [--rooms optim step] [--sample 150] [--seed 0] [--folder DIR] [--names FILE]

mutmut makes the mutants: `<` becomes `<=`, a number one more, an argument None or is left out. Of each room some are
drawn, and against each run those of the room's tests and doctests that are not slow and call the mutated function, the
quickest first, until one fails. Clones of the last commit are mutated, never the checkout. A process is forked for each
mutant, with lec7 imported and no backend of JAX started, since that doesn't outlive a fork; programs that no mutant
changes come from a cache.

Mutants of words alone are a matter of taste, and not drawn: of what an error says, and of texts in which there is a
space. One that does what the original does counts as survived. In the folder, `survivors.diff` shows those that no test
killed; as `--names` its headings say what to run again. Functions with a decorator, properties say, have no mutants.
"""

import argparse
import ast
import collections
import contextlib
import difflib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name

from lec7.table import table

HERE = Path(__file__).parents[1]


class Room(NamedTuple):
    """Patterns of the files that are mutated, and what pytest runs: tests, and files with doctests."""

    files: Sequence[str]
    tests: Sequence[str]


class Mutant(NamedTuple):
    """Its file, and the text of its function before and after."""

    file: str
    before: str
    after: str

    def diff(self, name: str) -> str:
        lines = self.before.splitlines(), self.after.splitlines()
        return "\n".join(difflib.unified_diff(*lines, self.file, name, lineterm="", n=2))


class Tally(NamedTuple):
    """What became of a room's sample: how many mutants there are, how many were run, and what no test killed."""

    mutants: int
    run: int
    survived: int
    untested: int
    late: int

    @property
    def score(self) -> float:
        """The part of the mutants that a test notices: it fails, or doesn't come to an end."""
        return 1 - (self.survived + self.untested) / self.run

    @property
    def variance(self) -> float:
        """Of the score, over samples."""
        left_out = (self.mutants - self.run) / max(self.mutants - 1, 1)
        return left_out * self.score * (1 - self.score) / self.run


def of_files(room: str, tests: str, files: str) -> Room:
    paths = [f"lec7/{room}/{file}.py" for file in files.split()]
    return Room(paths, (tests, *paths))


ROOMS = {
    **{
        name: Room((f"lec7/{name}/*.py",), (f"tests/{name}", f"lec7/{name}"))
        for name in ("optim", "averaging", "schedules", "regularize", "augment")
    },
    "loaders": of_files(
        "transfer",
        "tests/transfer",
        "archives formats graft hub layouts limits load names orbax_folder sources torch_file torch_pickle",
    ),
    "step": of_files("train", "tests/train", "fit lr_find run state step"),
}

CONFIGURATION = """
[tool.mutmut]
source_paths = ["lec7"]
only_mutate = {files}
also_copy = ["conftest.py", "docs", "experiments", "README.md", "scripts", "tests"]
pytest_add_cli_args = ["-m", "not slow", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
pytest_add_cli_args_test_selection = {tests}
process_isolation = "forkserver"
forkserver_warmup = "import"  # to collect the tests would start a backend
preload_modules_file = "preload.txt"
timeout_constant = 10.0
timeout_multiplier = 3.0
"""
PRELOAD = "scipy.optimize hypothesis _pytest.doctest lec7.models lec7.train lec7.transfer lec7.cli"


class Wordless(ast.NodeTransformer):
    """Takes what the error says out of each `raise`, and puts None in place of each text in which there is a space."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(None) if isinstance(node.value, str) and " " in node.value else node


def wordless(function: str) -> str:
    return ast.dump(Wordless().visit(ast.parse(function)))


def functions(code: str) -> Iterator[tuple[str, str]]:
    """Functions and methods by name."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, ast.unparse(node)


def clone(folder: Path, room: Room) -> None:
    """The last commit, with what mutmut and pytest have to know of the room."""
    subprocess.run(["git", "clone", "--quiet", HERE, folder], check=True)
    with (folder / "pyproject.toml").open("a") as file:
        file.write(CONFIGURATION.format(files=json.dumps(room.files), tests=json.dumps(room.tests)))
    (folder / "preload.txt").write_text("\n".join(PRELOAD.split()))
    (folder / "conftest.py").write_bytes((HERE / "scripts" / "mutation_conftest.py").read_bytes())


def mutants(folder: Path, room: Room) -> dict[str, Mutant]:
    """All mutants of a room by name, but those of words alone."""
    found = {}
    for path in sorted(path for pattern in room.files for path in folder.glob(pattern.replace("*", "**/*"))):
        file = path.relative_to(folder)
        with contextlib.chdir(folder):  # where mutmut looks for its configuration
            mutated = mutate_file_contents(str(file), path.read_text())
        texts = dict(functions(mutated.code))
        for name in mutated.mutant_names:
            original = f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"
            before, after = (texts[this].replace(this, "it") for this in (original, name))
            if wordless(before) != wordless(after):
                found[get_mutant_name(file, name)] = Mutant(str(file), before, after)
    return found


def run(folder: Path, names: Sequence[str], workers: int) -> dict[str, str]:
    """What became of each mutant: "killed", "survived", "no tests", "timeout"; or what else ended its tests."""
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # half of a quick mutant's time
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(workers), *names]
    with (folder / "log").open("w") as log:
        code = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log).returncode
    if code:
        sys.exit(f"mutmut ended with {code}: see {folder / 'log'}")
    codes: dict[str, int] = {}
    for file in (folder / "mutants").rglob("*.meta"):
        codes |= json.loads(file.read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[codes[name]] for name in names}


def scores(tallies: Mapping[str, Tally]) -> str:
    """The table: a row for each room, and one for all mutants, of which the sample of each room stands for its own."""
    rows = [("room", "mutants", "run", "survived", "no tests", "timeouts", "killed %", "+-")]
    for room, tally in tallies.items():
        error = math.sqrt(tally.variance)
        rows.append((room, *map(str, tally), f"{100 * tally.score:.1f}", f"{100 * error:.1f}"))
    total = [sum(column) for column in zip(*tallies.values(), strict=True)]
    parts = {room: tally.mutants / total[0] for room, tally in tallies.items()}
    score = sum(part * tallies[room].score for room, part in parts.items())
    error = math.sqrt(sum(part**2 * tallies[room].variance for room, part in parts.items()))
    rows.append(("all", *map(str, total), f"{100 * score:.1f}", f"{100 * error:.1f}"))
    return table(rows, numbers=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS), help="by default all")
    parser.add_argument("--sample", type=int, default=150, help="how many mutants of a room are drawn")
    parser.add_argument("--seed", type=int, default=0, help="what they are drawn with")
    parser.add_argument("--folder", type=Path, help="where the clones lie, and stay; by default a temporary folder")
    parser.add_argument("--names", type=Path, help="a file with names of mutants, to be run in place of a sample")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many are run at a time")
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="mutation-"))).resolve()
    tallies: dict[str, Tally] = {}
    for room in given.rooms:
        here = folder / room
        if not here.exists():
            clone(here, ROOMS[room])
        all_there_are = mutants(here, ROOMS[room])
        names = sorted(all_there_are)
        if given.names:
            names = sorted(all_there_are.keys() & set(given.names.read_text().split()))
        elif len(names) > given.sample:
            names = sorted(random.Random(given.seed).sample(names, given.sample))
        if not names:
            continue
        became = run(here, names, given.workers)
        count = collections.Counter(became.values())
        tallies[room] = Tally(len(all_there_are), len(names), count["survived"], count["no tests"], count["timeout"])
        with (folder / "survivors.diff").open("a") as file:
            for name in names:
                if became[name] in ("survived", "no tests", "timeout"):
                    print(f"# {became[name]}: {name}\n{all_there_are[name].diff(name)}\n", file=file)
        print(f"{scores(tallies)}\n", flush=True)
    print(f"who survived is told in {folder / 'survivors.diff'}")


if __name__ == "__main__":
    main()
