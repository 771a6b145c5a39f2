"""The pages of docs/ as their tests see them: fences with a language, and remarks that a reader does not see.

A fence of `python` is run, and a fence of `text` below it is what it prints. A fence of `sh` has commands of lec7 with
what they print. A comment ahead of a fence says what is otherwise:

    <!-- not run: why -->          it is not tried at all
    <!-- from lec7/optim/... -->   it is no example, but lines of that file
    <!-- numbers within 5 % -->    numbers that are printed may differ by so much from those on the page
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"^(?:<!-- (?P<remark>[^\n]*) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


class Block(NamedTuple):
    """A fence: its language, what is in it, the remark ahead of it, and the line of the page that it begins after."""

    language: str
    text: str
    remark: str
    line: int


def blocks(path: Path) -> list[Block]:
    """The fences of a page, in order."""
    page = path.read_text()
    return [
        Block(found["language"], found["text"], found["remark"] or "", page.count("\n", 0, found.start("text")))
        for found in FENCE.finditer(page)
    ]


def python(path: Path) -> list[str]:
    """The Python on a page that is run."""
    return [block.text for block in blocks(path) if block.language == "python" and not block.remark]


def quoted(block: Block) -> bool:
    """Whether a fence that is said to be lines of a file is that, but for how far they are indented."""
    source = (ROOT / block.remark.removeprefix("from ")).read_text()
    return _unindented(block.text) in _unindented(source)


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip("\n").split("\n"))


def tolerance(remark: str) -> float:
    """The part of a number by which it may differ: 0 without a remark."""
    found = re.fullmatch(r"numbers within ([\d.]+) %", remark)
    return float(found[1]) / 100 if found else 0.0


def differences(printed: str, shown: str, within: float) -> str:
    """What is printed and not shown, as a sentence; empty if they agree."""
    ours, theirs = (" ".join(text.split()) for text in (printed, shown))
    if not within:
        return "" if ours == theirs else f"printed:\n{printed}\nshown:\n{shown}"
    if NUMBER.sub("#", ours) != NUMBER.sub("#", theirs):
        return f"printed, but for numbers:\n{printed}\nshown:\n{shown}"
    far = [
        f"{a} is printed, {b} shown"
        for a, b in zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=True)
        if abs(float(a) - float(b)) > within * max(abs(float(a)), abs(float(b)))
    ]
    return "; ".join(far)
