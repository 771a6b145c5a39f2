"""A page as its tests see it: tables by caption, charts by title, paragraphs, and the scripts as they stand in it."""

import html.parser
import json


class Page(html.parser.HTMLParser):
    """Read off the HTML by Python's own parser.

    Attributes:
        tables: rows of texts by caption, the headings first.
        marked: for each caption the first cells of rows that are marked as different.
        paragraphs: texts.
        pictures: sources.
        scripts: the texts of those that are run.
        charts: specifications by title; of several with a title the last.
        attributes: pairs of a tag and its attributes, of all tags.
    """

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tables, self.marked, self.paragraphs, self.pictures, self.scripts = {}, {}, [], [], []
        self.attributes, self.charts = [], {}
        self._open, self._text, self._marked = [], "", False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.attributes.append((tag, attributes))
        if tag == "table":
            self._rows = self.tables.setdefault(attributes["aria-label"], [])
            self._of_table = self.marked.setdefault(attributes["aria-label"], [])
        elif tag == "tr":
            self._rows.append([])
            self._marked = attributes.get("class") == "differs"
        elif tag == "img":
            self.pictures.append(attributes["src"])
        self._data = attributes.get("type") == "application/json"
        self._text = "" if tag in ("td", "th", "p", "script") else self._text

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._rows[-1].append(self._text.strip())
            if self._marked and len(self._rows[-1]) == 1:
                self._of_table.append(self._text.strip())
        elif tag == "p":
            self.paragraphs.append(" ".join(self._text.split()))
        elif tag == "script" and self._data:
            self.charts = {chart["title"]: chart for chart in json.loads(self._text)}
        elif tag == "script":
            self.scripts.append(self._text)

    def handle_data(self, data):
        self._text += data

    def says(self, words):
        """Whether a paragraph has these words."""
        return any(words in paragraph for paragraph in self.paragraphs)

    def column(self, caption, heading):
        """The texts of a column, by the first cell of each row."""
        headings, *rows = self.tables[caption]
        return {row[0]: row[headings.index(heading)] for row in rows}


def values(chart):
    """The rows that a chart is drawn from."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("values"), list) and node["values"] and isinstance(node["values"][0], dict):
                found.append(node["values"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(chart.get("datasets", {}))
    for rows in chart.get("datasets", {}).values():
        found.append(rows)
    walk({key: value for key, value in chart.items() if key != "datasets"})
    return max(found, key=len)
