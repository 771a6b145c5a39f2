"""The site of docs/: equations without a script, examples as code, every public name, and nothing from elsewhere."""

import importlib
import re
import subprocess
import sys

import pytest
from fences import ROOT

import lec7

pytest.importorskip("mkdocs", reason="the site needs the extra docs: scripts/docs installs it")
hooks = importlib.import_module("site_hooks")
docstrings = importlib.import_module("site_docstrings")


def test_an_equation_is_mathml():
    page = r'<p><span class="arithmatex">\(a &lt; b\)</span></p> <div class="arithmatex">\[x^2\]</div>'
    inline, block = re.findall(r"<math .*?</math>", hooks.on_page_content(page, None, None, None))
    assert 'display="inline"' in inline
    assert "<mo>&#x0003C;</mo>" in inline
    assert 'display="block"' in block
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in block.replace("<mrow>", "").replace("</mrow>", "")


@pytest.mark.parametrize(
    "loads",
    [
        '<script src="https://cdn.example/x.js">',
        "<script async src=//cdn.example/x.js>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link href="https://fonts.example" rel="preconnect">',
        '<img alt="a" src="http://example/x.png">',
        "@import 'https://fonts.example/css'",
        "@font-face { src: url(https://fonts.example/x.woff2) }",
    ],
)
def test_what_another_server_would_give_is_found(loads):
    assert len(hooks.external(loads)) == 1


def test_a_link_is_no_resource():
    page = '<a href="https://example/">x</a> <img src="../x.png"> <link rel="canonical" href="https://example/">'
    assert hooks.external(page) == []


def test_examples_in_docstrings_get_fences():
    text = "One.\n\n>>> a = 1\n>>> a\n1\n\nTwo.\n\n    >>> indented\n    2"
    assert docstrings.fenced(text) == (
        "One.\n\n\n```pycon\n>>> a = 1\n>>> a\n1\n```\n\nTwo.\n\n\n    ```pycon\n    >>> indented\n    2\n    ```"
    )


def test_functions_come_first():
    assert sorted(["Adam", "RATES", "adam", "State"], key=docstrings.functions_first) == [
        "adam",
        "Adam",
        "State",
        "RATES",
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built by MkDocs in strict mode, which checks links and anchors."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return folder


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site):
    others = {"lec7.typing": {"ArrayLike", "DTypeLike"}}  # JAX's own
    for room in lec7.__all__:
        module = importlib.import_module(f"lec7.{room}")
        names = set(getattr(module, "__all__", ())) - others.get(module.__name__, set())
        page = (site / "api" / f"{room}.html").read_text()
        assert names <= set(re.findall(rf'id="{module.__name__}\.(\w+)"', page)), room


@pytest.mark.slow
def test_no_page_has_an_equation_left(site):
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    assert not [path for path, text in pages.items() if 'class="arithmatex"' in text]
    assert "<math " in pages[site / "tutorial" / "optimizers.html"]
