"""What MkDocs calls while it builds the site: equations, pages from the top of the checkout, and the check that no
page asks another server for anything."""

import html
import logging
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
FROM_THE_TOP = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/README.md": "experiments.md",
}
log = logging.getLogger("mkdocs.hooks.site")  # under MkDocs's own, whose warnings `--strict` counts

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
PROGRAM = re.compile(r"\[(\w+\.py)\]\(\1\)")
RESOURCE = re.compile(
    r"""<(?:script|img|source|iframe|video|audio|embed|object)\b[^>]*?\b(?:src|srcset|data)=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*?\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|@import\s+["']((?:https?:)?//[^"']+)"""
    r"""|url\(\s*["']?((?:https?:)?//[^"')]+)"""
)


def on_files(files, config):
    """ARCHITECTURE.md and its like are pages as well, from where they are."""
    for source, page in FROM_THE_TOP.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to these files, which are right in a checkout, go to their pages; a program has no page."""
    for source, target in FROM_THE_TOP.items():
        markdown = markdown.replace(f"](../../{source}", f"](../{target}").replace(f"](../{source}", f"]({target}")
    if page.file.src_uri == "experiments.md":
        markdown = PROGRAM.sub(r"`experiments/\1`", markdown).replace("](../docs/", "](")
    return markdown


def on_page_content(content, page, config, files):
    """Equations become MathML, which browsers draw without a script."""
    return EQUATION.sub(lambda found: mathml(found[2], block=found[1] == "div"), content)


def on_post_build(config):
    """A resource from another server is a warning, and so ends a strict build."""
    site = Path(config.site_dir)
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        for address in external(path.read_text()):
            log.warning("%s loads %s from another server", path.relative_to(site), address)


def mathml(tex: str, block: bool) -> str:
    """An equation of TeX's, as it stands in a page of HTML."""
    return convert(html.unescape(tex).strip(), display="block" if block else "inline")


def external(text: str) -> list[str]:
    """The addresses of scripts, styles, fonts and images that a page or a style sheet loads from other servers."""
    return [next(filter(None, found)) for found in RESOURCE.findall(text)]
