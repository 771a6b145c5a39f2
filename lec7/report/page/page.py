"""The page: sections in order, as HTML that has styles, scripts, data and pictures in itself."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2
import vl_convert

from lec7.report.page.blocks import Charts, Section
from lec7.report.page.judged import predictions
from lec7.report.page.sections import Subject, curves, hyperparameters, origin, sharding, what_was_run
from lec7.report.page.swept import Swept, swept

TEMPLATES = Path(__file__).with_name("templates")
MARK = '<meta name="generator" content="lec7 report">'
"""What a page of lec7's is known by."""


def page(title: str, subjects: Sequence[Subject], sweeps: Sequence[Swept] = ()) -> str:
    """The page about runs, and sweeps of which some lanes are among them.

    Args:
        title: of the page.
        subjects: the runs, whose names differ; with a sweep there may be none.
        sweeps: told ahead of the runs' curves.
    """
    sections = [swept(sweep) for sweep in sweeps]
    if subjects:
        sections = [
            what_was_run(subjects),
            *sections,
            hyperparameters(subjects),
            *curves(subjects),
            predictions(subjects),
            sharding(subjects),
            origin(subjects),
        ]
    return render(title, sections)


def render(title: str, sections: Sequence[Section]) -> str:
    """The HTML of sections.

    All that comes from runs is escaped. Should something slip through, a policy in the page lets the browser run no
    script but the two whose hashes it names, and fetch nothing.
    """
    charts = [
        chart for section in sections for block in section.blocks if isinstance(block, Charts) for chart in block.charts
    ]
    scripts = [_library() if charts else "", _text("page.js")]
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            title=title,
            sections=sections,
            charts=charts,
            mark=MARK,
            style=_text("page.css"),
            scripts=scripts,
            hashes=[_hash(script) for script in scripts],
        )
    )


def is_page(path: Path) -> bool:
    """Whether a file is a page of lec7's, which may be written anew."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return MARK in file.read(2000)


@cache
def _library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, of some 0.9 MB; to put it together takes seconds."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """A script as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
