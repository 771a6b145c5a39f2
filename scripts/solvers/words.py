"""The tables of a race, a family each, and where lec7 is behind."""

import numpy as np

from solvers.costs import median, time_of, time_ratio, work
from solvers.libraries import FAMILIES

MARGIN = 1.25  # of evaluations or time, from which on lec7 is behind


def table(family: str, results: dict[str, dict]) -> dict[str, dict]:
    """Prints a line for each solver of a family, and gives what is in it."""
    raced = {name: {lib: r for (fam, lib), r in found.items() if fam == family} for name, found in results.items()}
    raced = {name: found for name, found in raced.items() if found}
    common = [found for found in raced.values() if all(r["solved"] for r in found.values())]
    print(f"\n{family}: {len(raced)} problems, of which all solve {len(common)}; medians are of those\n")
    print(f"{'':<12}{'solved':>7}{'by':>10}{'by':>7}{'evalua-':>9}{'prod-':>8}{'evaluations':>14}", end="")
    print(f"{'time':>10}{'time':>10}{'first':>8}")
    print(f"{'':<12}{'':>7}{'gradient':>10}{'value':>7}{'tions':>9}{'ucts':>8}{'/ SciPy':>14}", end="")
    print(f"{'ms':>10}{'/ lec7':>10}{'call s':>8}")
    lines = {}
    for library in next(iter(raced.values())):
        mine = [found[library] for found in raced.values()]
        line = lines[library] = {
            "solved": sum(r["solved"] for r in mine),
            "by gradient": sum(r.get("by gradient", False) for r in mine),
            "by value": sum(r.get("by value", False) for r in mine),
            "evaluations": median(found[library]["evaluations"] for found in common),
            "products": median(found[library]["products"] for found in common),
            "evaluations over SciPy's": median(
                found[library]["evaluations"] / found["SciPy"]["evaluations"] for found in common
            ),
            "milliseconds": 1000 * median(time_of(found[library]) for found in common),
            "time over lec7's": median(time_ratio(found[library], found["lec7"]) for found in common),
            "seconds of the first call": median(r["first"] for r in mine if "first" in r),
        }
        a, b, c, d, e, f, g, h, i = line.values()
        print(f"{library:<12}{a:>7}{b:>10}{c:>7}{d:>9.1f}{e:>8.1f}{f:>14.2f}{g:>10.3f}{h:>10.2f}{i:>8.2f}")
        for error in {r["error"] for r in mine if "error" in r}:
            print(f"{'':<12}failed: {error}")
    return lines


def shortfalls(results: dict[str, dict]) -> list[str]:
    """Where another library solves what lec7 does not, or does so with fewer evaluations or in less time."""
    lines = []
    for family in FAMILIES:
        for name, found in results.items():
            own = found.get((family, "lec7"))
            peers = {lib: r for (fam, lib), r in found.items() if fam == family and lib != "lec7" and r["solved"]}
            if own is None or not peers:
                continue
            if not own["solved"]:
                says = f"lec7 says {own['says']} at |g| {own['gradient']:.1e}"
                lines.append(f"{family}, {name}: {says}; {', '.join(peers)} solve it")
                continue
            least = min(peers, key=lambda lib: work(peers[lib]))
            if work(own) > MARGIN * work(peers[least]):
                same = np.isclose(own["value"], peers[least]["value"], rtol=1e-3, atol=1e-6)
                note = "" if same else " (another minimum)"
                lines.append(f"{family}, {name}: {work(own)} evaluations, {least} {work(peers[least])}{note}")
            fastest = min(peers, key=lambda lib: time_of(peers[lib]))
            if time_ratio(own, peers[fastest]) > MARGIN:
                mine, theirs = 1000 * time_of(own), 1000 * time_of(peers[fastest])
                lines.append(f"{family}, {name}: {mine:.3f} ms, {fastest} {theirs:.3f} ms")
    return lines
