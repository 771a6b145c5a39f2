"use strict";

// Charts. The interpreter of vega-embed (`ast`) spares Vega the compiling of texts, which the page's policy forbids.
const charts = JSON.parse(document.getElementById("charts").textContent);
for (const place of document.querySelectorAll("[data-chart]")) {
  vegaEmbed(place, charts[place.dataset.chart], { actions: false, renderer: "svg", ast: true }).catch((error) => {
    place.classList.add("failed");
    place.textContent = `This chart can't be drawn: ${error.message}`;
    console.error(error);
  });
}

// Tables. A heading sorts by its column: numbers by value, texts as people do, empty cells last either way.
const collator = new Intl.Collator(undefined, { numeric: true });

function compare(a, b, descending) {
  const [x, y] = [a, b].map((cell) => cell.dataset.value ?? "");
  const [s, t] = [a, b].map((cell) => cell.textContent.trim());
  if ((s === "") !== (t === "")) return s === "" ? 1 : -1;
  if ((x === "") !== (y === "")) return x === "" ? 1 : -1;
  const order = x !== "" ? Number(x) - Number(y) : collator.compare(s, t);
  return descending ? -order : order;
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = button.closest("table").tBodies[0];
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const at = heading.cellIndex;
    body.append(...[...body.rows].sort((a, b) => compare(a.cells[at], b.cells[at], descending)));
  });
}
