"""What the pages of docs/ show runs as it stands there, and prints what they say."""

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache

import pytest
from fences import DOCS, ROOT, Block, blocks, differences, quoted, tolerance

from lec7 import cli

PAGES = {str(path.relative_to(DOCS)): blocks(path) for path in sorted(DOCS.rglob("*.md"))}
ELSEWHERE = {"scaling.md"}
"""Pages whose Python is run by a test of their own, with eight devices."""
FAST = {"conventions.md", "optimizers.md", "schedules.md"}
RUN = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
    for name, page in PAGES.items()
    if name not in ELSEWHERE and any(block.language == "python" for block in page)
]
NOT_RUN = 3
"""Fences that can't be tried here, such as a cluster's: each says why in a comment."""
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", RUN)
def test_a_page_prints_what_it_shows(name, tmp_path):
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    told = subprocess.run(
        [sys.executable, ROOT / "tests" / "run_page.py", DOCS / name, tmp_path / "said.json"],
        cwd=tmp_path,
        env=reader(),
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    page = PAGES[name]
    for above, block in itertools.pairwise(page):
        if block.language == "text":
            differs = differences(said[str(above.line)], block.text, tolerance(block.remark))
            assert not differs, f"{name}, line {block.line}: {differs}"


def reader():
    """The environment of someone who has just installed lec7, but that XLA compiles in less time, as in all tests."""
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    return env | {"PYTHONPATH": str(ROOT / "experiments")}


def test_each_fence_is_tried_or_says_why_not():
    not_run = 0
    for name, page in PAGES.items():
        for above, block in zip([None, *page], page, strict=False):
            if block.remark.startswith("not run: "):
                not_run += 1
                continue
            tried = {
                "python": not block.remark or (block.remark.startswith("from ") and quoted(block)),
                "sh": not block.remark,
                "text": above and above.language == "python" and (not block.remark or tolerance(block.remark)),
            }
            assert tried.get(block.language), f"{name}, line {block.line}: {block.language!r} after {block.remark!r}"
    assert not_run == NOT_RUN


SHELL = [(name, block) for name, page in PAGES.items() for block in page if block.language == "sh" and not block.remark]
SHELL += [("README.md", block) for block in blocks(ROOT / "README.md") if not block.language]
SHELL += [("CONTRIBUTING.md", block) for block in blocks(ROOT / "CONTRIBUTING.md") if not block.language]


@pytest.mark.parametrize(("name", "block"), SHELL, ids=[f"{name}:{block.line}" for name, block in SHELL])
def test_commands_are_those_that_there_are(name, block, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")
    for words in commands(block):
        wrong = refused(words)
        assert not wrong, f"{name}, line {block.line}: {shlex.join(words)}: {wrong}"


def commands(block: Block):
    """The command lines of a fence, as words: what is printed between them is none."""
    for line in block.text.replace("\\\n", " ").splitlines():
        with contextlib.suppress(ValueError):  # a single quotation mark, in what is printed
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"srun|\w+=\S*", words[0]):
                words = words[1:]
            if words and re.search(r"^(lec7|pip|python|\.venv/bin/\w+|\.?/?scripts/[\w.]+)$", words[0]):
                yield words


def refused(words):
    """Why a command line is none; empty if it is one."""
    program, *rest = words
    missing = [word for word in words if re.match(r"\.?/?(scripts|experiments)/", word) and not (ROOT / word).exists()]
    if missing:
        return f"there is no {', '.join(missing)}"
    options = [word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)]
    if program == "lec7":
        return refused_by_lec7(rest, options)
    if program == "pip":
        extras = {extra for word in rest for extra in re.findall(r"lec7\[(.*?)\]", word)}
        return f"no extra {extras - EXTRAS.keys()}" if extras - EXTRAS.keys() else ""
    script = next((word for word in words if word.startswith(("scripts/", "experiments/", "./scripts/"))), None)
    if script is None or not script.endswith(".py"):
        return ""
    source = (ROOT / script).read_text()
    strange = [
        option for option in options if not {option, option[2:].replace("-", "_")} & set(re.findall(r"[\w-]+", source))
    ]
    return f"{script} has no {', '.join(strange)}" if strange else ""


def refused_by_lec7(rest, options):
    if not rest or rest[0] not in cli.COMMANDS:
        return f"the commands are {', '.join(cli.COMMANDS)}" if rest else ""
    experiment = next((word for word in rest if word.endswith(".py") and (ROOT / word).exists()), None)
    known = {option.replace("_", "-") for option in re.findall(r"--[\w-]+", usage(rest[0], experiment))}
    strange = [option for option in options if option not in known]
    return f"it has no {', '.join(strange)}" if strange else ""


@cache
def usage(command, experiment):
    """What `lec7 COMMAND --help` says, of an experiment where one is named."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli.main([command, *([experiment] if experiment else []), "--help"])
    return said.getvalue()
