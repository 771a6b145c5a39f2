"""The page in a real browser, Debian's Chromium without a head and without a network."""

import shutil

import pytest

from lec7 import cli

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDE, TELEPHONE = {"width": 1200, "height": 900}, {"width": 400, "height": 800}
LEGIBLE = 4.5
"""Contrast of text against what is behind it, as WCAG 2.1 asks for (AA)."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page_file(runs, tmp_path_factory):
    """The page of two runs, one of which has a hostile name."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    assert cli.main(["report", str(runs.plain), str(runs.hostile), "--output", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="there is no playwright: pip install 'lec7[dev]'")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser, page_file):
    """The page once its charts are drawn; what the console said and what was asked of a network must be nothing."""
    contexts, said = [], []

    def opened(viewport, scheme="light", file=page_file):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_function(
            "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart svg').length"
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def test_each_chart_has_marks(opened):
    page = opened(WIDE)
    charts = page.eval_on_selector_all(
        ".chart",
        """charts => charts.map(chart => ({
            label: chart.getAttribute("aria-label"),
            width: chart.querySelector("svg").getBoundingClientRect().width,
            marks: [...chart.querySelectorAll(".role-mark path")].map(mark => mark.getBoundingClientRect())
                .filter(place => place.width + place.height > 3).length,
        }))""",
    )
    assert len(charts) >= 12
    for chart in charts:
        assert chart["marks"] >= 2, chart
        assert chart["width"] > 300, chart


def test_a_click_and_a_key_sort_a_table_by_value(opened):
    page = opened(WIDE)
    table = page.locator("table[aria-label='Classes']").first
    heading = table.locator("thead th").nth(1)
    before = table.locator("tbody tr td:nth-child(2)").all_text_contents()
    heading.locator("button").click()
    ascending = table.locator("tbody tr td:nth-child(2)").all_text_contents()
    assert ascending == sorted(before, key=int)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert table.locator("tbody tr td:nth-child(2)").all_text_contents() == sorted(before, key=int, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"


def test_numbers_are_sorted_as_numbers_and_what_is_empty_comes_last(opened, page_file, tmp_path):
    from lec7.report.page.blocks import Section, Sorted
    from lec7.report.page.page import render
    from lec7.report.page.tables import table

    file = tmp_path / "sorted.html"
    values = [10.0, None, 9.0, 1e-7, float("nan"), 20_000.0, -3.0]
    file.write_text(render("t", [Section("s", [Sorted(table("c", ["n", "x#"], list(enumerate(values))))])]))
    page = opened(WIDE, file=file)
    button = page.locator("thead button").nth(1)
    button.click()
    cells = page.locator("tbody td")
    assert cells.all_text_contents() == ["-3", "1e-07", "9", "10", "20,000", "nan", ""]
    button.click()
    assert cells.all_text_contents() == ["20,000", "10", "9", "1e-07", "-3", "nan", ""]


def test_a_telephone_shows_the_page_without_moving_it_sideways(opened):
    page = opened(TELEPHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    outside = page.eval_on_selector_all(
        ".chart svg, figure, p, h1, h2, h3, pre, .scroll",
        """found => found.filter(one => one.getBoundingClientRect().right > innerWidth)
            .map(one => one.outerHTML.slice(0, 80))""",
    )
    assert outside == []
    inside = page.eval_on_selector_all(
        ".chart svg",
        """charts => charts.filter(chart => [...chart.querySelectorAll("text")].some(text =>
            text.getBoundingClientRect().right > chart.getBoundingClientRect().right + 1)).length""",
    )
    assert inside == 0, "texts are cut off at the right of a chart"
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('p')).fontSize)")
    assert size >= 14


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_legible_in_light_and_dark(opened, scheme):
    page = opened(WIDE, scheme)
    assert (page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")) is (scheme == "dark")
    contrasts = page.evaluate(
        """() => {
        const numbers = color => color.match(/[\\d.]+/g).map(Number);
        const luminance = color => numbers(color).slice(0, 3)
            .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = element => {
            for (let at = element; at; at = at.parentElement) {
                const color = getComputedStyle(at).backgroundColor;
                if ((numbers(color)[3] ?? 1) === 1) return color;
            }
            return "rgb(255, 255, 255)";
        };
        return [...document.querySelectorAll("h1, h2, p, a, td, th, button, figcaption, footer, .chart text")]
            .filter(element => element.textContent.trim() && !element.closest("noscript"))
            .map(element => {
                const style = getComputedStyle(element);
                const ink = element.closest("svg") ? style.fill : style.color;
                const [a, b] = [luminance(ink), luminance(behind(element))].sort((x, y) => y - x);
                return [(a + 0.05) / (b + 0.05), element.tagName, element.textContent.slice(0, 30), ink];
            });
    }"""
    )
    assert len(contrasts) > 100
    assert min(contrasts)[0] >= LEGIBLE, min(contrasts)
    page_colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page_colour == ("rgb(21, 24, 28)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_pointing_at_a_line_tells_its_values(opened):
    page = opened(WIDE)
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    chart.locator(".mark-symbol.role-mark path").first.hover(force=True)
    told = page.locator("#vg-tooltip-element.visible")
    told.wait_for()
    assert "step" in told.inner_text()
    assert "plain" in told.inner_text() or "onerror" in told.inner_text()


def test_a_name_in_the_legend_picks_a_line_out(opened):
    page = opened(WIDE)
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()

    def faint():
        return chart.locator(".mark-line.role-mark path[opacity='0.15']").count()

    assert faint() == 0
    chart.locator(".role-legend .role-legend-label text").first.click(force=True)
    page.wait_for_timeout(200)
    assert faint() >= 2


def test_on_paper_tables_are_whole(opened):
    page = opened(WIDE)
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    cut = page.eval_on_selector_all(
        ".scroll", "all => all.filter(one => one.scrollHeight > one.clientHeight + 2).length"
    )
    assert cut == 0
