"""What is told of a sweep, beside figures that are worked out by hand or by Python's statistics."""

import itertools
import json
import math
import re
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import lec7.sweep
from lec7 import report
from lec7.cli import report as command
from lec7.errors import InputError
from lec7.report.sweeps.axes import limits, scale
from lec7.report.sweeps.curves import band
from lec7.report.sweeps.fields import Field, varied
from lec7.report.sweeps.fieldwise import best_line
from lec7.report.sweeps.figures import table
from lec7.report.sweeps.pairwise import cells, is_scatter, pairs
from lec7.sweep.results import Results, Row

RATES, DROPOUTS, OPTIMIZERS, SEEDS = (1e-4, 1e-3, 1e-2, 1e-1), (0.0, 0.1, 0.5), ("adam", "sgd"), (0, 1, 2)
COMMAND = "lec7 run experiments/digits.py --steps 300"


def lane(number, hyperparameters, value, status="finished", step=300):
    curve = [(step * i // 3, value + 3 - i) for i in (1, 2, 3)]
    metrics = {"test/loss": value, "test/accuracy": 1 - value, "test_raw/loss": 7.0}
    curves = {"train/loss": curve, "test/loss": curve, "test/accuracy": [(s, 1 - v) for s, v in curve]}
    return Row(number, hyperparameters, status, step, metrics, curves)


def worth(rate, dropout, optimizer, seed):
    return 0.1 * (math.log10(rate) + 2.6) ** 2 + dropout / 10 + 0.02 * (optimizer == "sgd") + 0.003 * seed**2


def grid():
    """72 lanes: one with rate 0.1, dropout 0.5 and adam diverged, those with rate 1e-4, dropout 0.5 and sgd stopped."""
    rows = []
    for number, point in enumerate(itertools.product(RATES, DROPOUTS, OPTIMIZERS, SEEDS)):
        names = ("learning_rate", "dropout", "optimizer", "seed")
        ended = {(0.1, 0.5, "adam", 1): ("diverged", 70), **{(1e-4, 0.5, "sgd", s): ("stopped", 100) for s in SEEDS}}
        rows.append(lane(number, dict(zip(names, point, strict=True)), worth(*point), *ended.get(point, ())))
    return Results(tuple(rows), "test/loss", "minimize")


def drawn(count=40):
    random = np.random.default_rng(3)
    rows = []
    for number in range(count):
        rate, width = float(10 ** random.uniform(-4, -1)), int(random.integers(8, 256))
        optimizer = OPTIMIZERS[number % 2]
        point = {"learning_rate": rate, "width": width, "optimizer": optimizer}
        rows.append(lane(number, point, worth(rate, 0.0, optimizer, 0)))
    return Results(tuple(rows), "test/loss", "minimize")


def over(name, values, worths, **options):
    """A sweep over one field."""
    points = enumerate(zip(values, worths, strict=True))
    rows = [lane(number, {name: value}, float(x), **options) for number, (value, x) in points]
    return Results(tuple(rows), "test/loss", "minimize")


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved, by the names of their files; nothing is drawn."""
    saved = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: saved.update({path.name: figure}))
    return saved


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


# The table.


def test_the_table_has_means_and_deviations_and_the_best_first():
    columns, rows = table(grid())
    assert columns == ["learning_rate#", "dropout#", "optimizer", "test/loss#", "test/accuracy#", "seeds#", "status"]
    settings = list(itertools.product(RATES, DROPOUTS, OPTIMIZERS))
    values = {point: [worth(*point, seed) for seed in SEEDS] for point in settings}
    last = [(1e-4, 0.5, "sgd"), (0.1, 0.5, "adam")]
    order = sorted(set(settings) - set(last), key=lambda point: statistics.mean(values[point])) + last
    assert [row[:3] for row in rows] == [[f"{rate:g}", f"{dropout:g}", name] for rate, dropout, name in order]
    for row, point in zip(rows[:-1], order, strict=False):
        mean, spread = row[3].split(" ± ")
        assert float(mean) == pytest.approx(statistics.mean(values[point]), rel=1e-3)
        assert float(spread) == pytest.approx(statistics.stdev(values[point]), rel=0.05)
        assert float(row[4].split(" ± ")[0]) == pytest.approx(1 - statistics.mean(values[point]), rel=1e-3)
        assert row[5] == "3"
    assert {row[-1] for row in rows[:-2]} == {"finished"}
    assert rows[-2][-1] == "stopped at step 100, 3 of 3"
    assert rows[-1][3:] == ["", "", "3", "diverged at step 70, 1 of 3"]


def test_without_seeds_there_is_no_column_for_them():
    columns, rows = table(over("optimizer", OPTIMIZERS, (0.5, 0.25)))
    assert columns == ["optimizer", "test/loss#", "test/accuracy#", "status"]
    assert rows == [["sgd", "0.2500", "0.7500", "finished"], ["adam", "0.5000", "0.5000", "finished"]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_figures_that_are_not_finite_count_as_nan(value):
    bad = Row(1, {"width": 2}, "finished", 9, {"test/loss": value}, {})
    rows = table(Results((bad, lane(0, {"width": 1}, 0.5)), "test/loss", "minimize"))[1]
    assert [row[1] for row in rows] == ["0.5000", "nan"]


def test_a_sweep_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="no results yet"):
        report.sweep(Results((), "test/loss", "minimize"), tmp_path, "none", COMMAND)
    with pytest.raises(InputError, match="no results yet"):
        command.tell(Results((), "test/loss", "minimize"), COMMAND)


# What the pictures show.


def test_cells_are_the_best_over_other_fields():
    results = grid()
    rates, dropouts, optimizers = varied(results)
    means, diverged = cells(results.settings(), rates, dropouts)
    for (i, rate), (j, dropout) in itertools.product(enumerate(RATES), enumerate(DROPOUTS)):
        of = {name: statistics.mean(worth(rate, dropout, name, seed) for seed in SEEDS) for name in OPTIMIZERS}
        expected = of["sgd"] if (rate, dropout) == (0.1, 0.5) else of["adam"]
        assert means[i, j] == pytest.approx(expected, rel=1e-12)
    assert not diverged.any()
    first = [setting for setting in results.settings() if setting.hyperparameters["learning_rate"] == 0.1]
    means, diverged = cells(first, dropouts, optimizers)
    np.testing.assert_array_equal(diverged, [[False, False], [False, False], [True, False]])
    np.testing.assert_array_equal(np.isnan(means), diverged)


def test_what_was_not_tried_is_neither_good_nor_diverged():
    results = over("width", (1, 2), (0.5, 0.25))
    field = Field("width", (1, 2, 3))
    means, diverged = cells(results.settings(), field, field)
    np.testing.assert_array_equal(means, [[0.5, np.nan, np.nan], [np.nan, 0.25, np.nan], [np.nan] * 3])
    assert not diverged.any()


def test_the_best_of_each_value():
    results = grid()
    rates, _, optimizers = varied(results)
    best = [statistics.mean(worth(rate, 0.0, "adam", seed) for seed in SEEDS) for rate in RATES]
    np.testing.assert_allclose(best_line(results.settings(), rates), list(zip(RATES, best, strict=True)), rtol=1e-12)
    assert [place for place, _ in best_line(results.settings(), optimizers)] == [0, 1]


def test_of_values_that_were_drawn_each_eighth_has_its_best():
    results = drawn()
    field = varied(results)[0]
    found = sorted((row.hyperparameters["learning_rate"], row.metrics["test/loss"]) for row in results.rows)
    eighths = [min(found[i : i + 5], key=lambda point: point[1]) for i in range(0, 40, 5)]
    assert best_line(results.settings(), field) == eighths


def test_grids_become_heat_maps_and_draws_become_points():
    assert [field.drawn for field in varied(grid())] == [False, False, False]
    assert [field.drawn for field in varied(drawn())] == [True, True, False]
    assert [is_scatter(pair) for pair in pairs(varied(drawn()))] == [True, True, True]
    assert [is_scatter(pair) for pair in pairs(varied(grid()))] == [False, False, False]
    assert is_scatter((Field("a", tuple(range(41))), Field("b", (0, 1))))
    assert not is_scatter((Field("a", tuple(range(40))), Field("b", (0, 1))))


def test_pairs_with_most_values_come_first():
    found = [tuple(field.name for field in pair) for pair in pairs(varied(grid()))]
    assert found == [("learning_rate", "dropout"), ("learning_rate", "optimizer"), ("dropout", "optimizer")]


def test_fields_are_those_with_two_values_but_the_seed():
    rows = [lane(i, {"a": value, "b": 3, "seed": i}, 0.5) for i, value in enumerate([None, (64, 32), True, None])]
    (field,) = varied(Results(tuple(rows), "test/loss", "minimize"))
    assert field == Field("a", (None, (64, 32), True))
    assert [field.place(value) for value in field.values] == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.geomspace(1e-4, 1, 16), "log"),
        ((1e-3, 1e-1), "log"),
        ((1, 2, 4, 8, 16), "linear"),
        ((16, 64, 256, 1024), "log"),
        ((0, 1e-5, 1e-4, 1e-3), "symlog"),
        ((-1.0, 0.01, 1.0), "linear"),
        ((0.0, 0.1, 0.5), "linear"),
        (np.random.default_rng(0).uniform(0, 1, 100), "linear"),
        ((0.0,), "linear"),
    ],
)
def test_logarithms_are_for_values_that_lie_evenly_so(values, expected):
    assert scale(values) == expected


def test_an_awful_value_flattens_nothing():
    good = list(np.linspace(0.2, 0.4, 20))
    low, high = limits([*good, 1e30], "minimize")
    assert (low, high) == pytest.approx((0.19, 0.41))
    assert limits([*(-x for x in good), -1e30], "maximize") == pytest.approx((-high, -low))
    low, high = limits([1e-3, 1e-2, 1e-1, 1.0, 1e30], "minimize", "log")
    assert 1e-4 < low < 1e-3 < 1 < high < 2
    assert limits([], "minimize") == (0, 1)
    low, high = limits([0.5, 0.5], "maximize")
    assert low < 0.5 < high


def test_a_band_is_at_the_steps_that_all_runs_have():
    curves = [[(10, 1.0), (20, 2.0), (30, 3.0)], [(10, 2.0), (20, 6.0)]]
    np.testing.assert_array_equal(band(curves), [[10, 20], [1.5, 4], [1, 2], [2, 6]])
    assert band([*curves, []]).shape == (4, 0)


# The pictures and the page.


def test_pictures_and_page(tmp_path):
    paths = report.sweep(grid(), tmp_path, "a sweep", COMMAND)
    assert [path.name for path in paths] == ["curves.png", "fields.png", "pairs.png", "report.md"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[:3])
    page = paths[-1].read_text()
    assert page.startswith(
        "# a sweep\n\n72 lanes, 24 settings: 68 finished, 3 stopped, 1 diverged.\n\n"
        "- `learning_rate`: 0.0001, 0.001, 0.01, 0.1\n- `dropout`: 0, 0.1, 0.5\n- `optimizer`: adam, sgd\n"
        "- `seed`: 0, 1, 2\n"
    )
    values = {p: worth(*p, 0) for p in itertools.product(RATES, DROPOUTS, OPTIMIZERS)}
    best = [
        f"{COMMAND} --learning-rate {rate} --dropout {dropout} --optimizer {optimizer}"
        for rate, dropout, optimizer in sorted(values, key=values.__getitem__)[:3]
    ]
    assert "```\n" + "\n".join(best) + "\n```" in page
    assert re.findall(r"\]\((.*)\)", page) == ["curves.png", "fields.png", "pairs.png"]
    assert "| 0.1 | 0.5 | adam |  |  | 3 | diverged at step 70, 1 of 3 |" in page
    assert "are drawn" not in page


def test_fields_have_the_axes_that_suit_them(figures, tmp_path):
    report.sweep(grid(), tmp_path, "a sweep", COMMAND)
    rates, dropouts, optimizers = figures["fields.png"].axes
    assert [axes.get_xlabel() for axes in (rates, dropouts, optimizers)] == ["learning_rate", "dropout", "optimizer"]
    assert [axes.get_xscale() for axes in (rates, dropouts, optimizers)] == ["log", "linear", "linear"]
    assert [text.get_text() for text in optimizers.get_xticklabels()] == list(OPTIMIZERS)
    assert legend(figures["fields.png"]) == ["a run", "stopped", "diverged", "best of each value"]
    (cross,) = (line for line in rates.lines if line.get_marker() == "x")
    np.testing.assert_allclose(cross.get_xydata(), [[0.1, rates.get_ylim()[1]]])


def test_pairs_number_and_frame_their_cells(figures, tmp_path):
    report.sweep(grid(), tmp_path, "a sweep", COMMAND)
    first = figures["pairs.png"].axes[0]
    assert (first.get_ylabel(), first.get_xlabel()) == ("learning_rate", "dropout")
    assert [text.get_text() for text in first.get_yticklabels()] == ["0.0001", "0.001", "0.01", "0.1"]
    assert len(first.texts) == 12
    assert first.texts[3].get_text() == f"{statistics.mean(worth(1e-3, 0.0, 'adam', s) for s in SEEDS):#.3g}"
    frame = first.patches[-1]
    assert (frame.get_x(), frame.get_y()) == (-0.5, 0.5)


def test_curves_show_the_best_settings_of_many_lanes_and_each_of_few(figures, tmp_path):
    report.sweep(grid(), tmp_path, "many", COMMAND)
    names = legend(figures["curves.png"])
    assert names[0] == "learning_rate 0.001, dropout 0, optimizer adam"
    assert names[5:] == ["all others", "diverged"]
    train, test = figures["curves.png"].axes
    assert (train.get_ylabel(), test.get_ylabel(), test.get_yscale()) == ("train loss", "test loss", "log")
    assert len(train.collections[0].get_segments()) == 72 - 5 * 3
    report.sweep(over("width", (1, 2), (0.25, 0.5)), tmp_path, "few", COMMAND)
    assert legend(figures["curves.png"]) == ["width 1", "width 2"]
    np.testing.assert_array_equal(
        figures["curves.png"].axes[0].lines[1].get_xydata(), [[100, 2.5], [200, 1.5], [300, 0.5]]
    )


def test_a_diverged_lane_ends_in_a_cross_at_the_edge_of_what_is_good(figures, tmp_path):
    results = over("width", (1, 2), (0.25, 0.5))
    awful = Row(2, {"width": 3}, "diverged", 70, {}, {"train/loss": [(30, 3.0), (60, 1e30)]})
    report.sweep(Results((*results.rows, awful), "test/loss", "minimize"), tmp_path, "awful", COMMAND)
    train = figures["curves.png"].axes[0]
    (cross,) = (line for line in train.lines if line.get_marker() == "x")
    np.testing.assert_allclose(cross.get_xydata(), [[60, train.get_ylim()[1]]])
    assert train.get_ylim()[1] < 10


def test_a_curve_has_the_points_that_are_finite(figures, tmp_path):
    curve = [(3, 2.0), (6, math.inf), (9, math.nan), (12, 1.0)]
    row = Row(0, {"width": 1}, "finished", 12, {}, {"train/loss": curve, "test/loss": curve[1:3]})
    report.sweep(Results((row,), "test/loss", "minimize"), tmp_path, "holes", COMMAND)
    (train,) = figures["curves.png"].axes
    np.testing.assert_array_equal(train.lines[0].get_xydata(), [[3, 2], [12, 1]])


def test_of_many_pairs_six_are_drawn_and_the_page_says_so(figures, tmp_path):
    names = "abcde"
    rows = [
        lane(number, dict(zip(names, values, strict=True)), 0.1 + sum(values))
        for number, values in enumerate(itertools.product((0, 1), repeat=5))
    ]
    *_, page = report.sweep(Results(tuple(rows), "test/loss", "minimize"), tmp_path, "five", COMMAND)
    assert "Of 10 pairs the 6 with most values are drawn." in page.read_text()
    assert len(figures["pairs.png"].axes) == 6 + 1  # and the colours


def written(results, folder):
    """The names of what is written, without suffixes."""
    return [path.stem for path in report.sweep(results, folder, "an edge", COMMAND)]


def test_random_draws(figures, tmp_path):
    assert written(drawn(), tmp_path) == ["curves", "fields", "pairs", "report"]
    first = figures["pairs.png"].axes[0]
    assert (first.get_xlabel(), first.get_xscale(), first.get_ylabel()) == ("learning_rate", "log", "width")
    assert "best of each eighth of the values" in legend(figures["fields.png"])
    assert "- `learning_rate`: 40 values from " in (tmp_path / "report.md").read_text()


def test_one_field(figures, tmp_path):
    assert written(over("width", range(20), np.linspace(0.5, 0.1, 20)), tmp_path) == ["curves", "fields", "report"]


def test_one_lane(figures, tmp_path):
    assert written(over("width", (3,), (0.5,)), tmp_path) == ["curves", "report"]
    assert not figures["curves.png"].legends


def test_seeds_alone(figures, tmp_path):
    assert written(over("seed", SEEDS, (0.1, 0.2, 0.3)), tmp_path) == ["curves", "report"]
    assert f"```\n{COMMAND}\n```" in (tmp_path / "report.md").read_text()
    assert "| 0.2000 ± 0.1 |" in (tmp_path / "report.md").read_text()


def test_all_diverged(figures, tmp_path):
    assert written(over("width", (1, 2), (0.5, 0.6), status="diverged"), tmp_path) == ["curves", "report"]
    assert "There is none: in each setting a run diverged" in (tmp_path / "report.md").read_text()


def test_all_settings_with_one_run_that_diverged(figures, tmp_path):
    rows = [
        lane(2 * i + seed, {"a": a, "b": b, "seed": seed}, 0.5 + seed, ("diverged", "finished")[seed])
        for i, (a, b) in enumerate(itertools.product((1, 2), (True, False)))
        for seed in (0, 1)
    ]
    assert written(Results(tuple(rows), "test/loss", "minimize"), tmp_path) == ["curves", "fields", "report"]
    assert legend(figures["fields.png"]) == ["a run", "diverged"]


def test_no_curves_and_no_figures(figures, tmp_path):
    rows = (
        Row(0, {"width": 1}, "diverged", 3, {}, {}),
        Row(1, {"width": 2}, "finished", 3, {"test/loss": math.nan}, {}),
    )
    assert written(Results(rows, "test/loss", "minimize"), tmp_path) == ["report"]


def test_an_awful_lane_that_did_not_diverge_lies_at_the_edge(figures, tmp_path):
    report.sweep(over("width", range(9), [*np.linspace(0.2, 0.4, 8), 1e9]), tmp_path, "awful", COMMAND)
    (axes,) = figures["fields.png"].axes
    assert axes.get_ylim() == pytest.approx((0.19, 0.41))
    assert "far off" in legend(figures["fields.png"])


# The command.


def test_tell_prints_the_best_and_how_to_run_it(capsys):
    command.tell(grid(), COMMAND, top=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("72 lanes, 24 settings: 68 finished, 3 stopped, 1 diverged; the best by test/loss first")
    assert sum("finished" in line for line in lines[1:]) == 2
    assert "22 more are not shown" in lines
    assert lines[-1] == f"{COMMAND} --learning-rate 0.001 --dropout 0.0 --optimizer adam"


def test_the_command_reads_tells_and_writes(monkeypatch, capsys, figures, tmp_path):
    class Found:
        results, name, command = grid(), "mine", COMMAND

    asked = []
    monkeypatch.setattr(lec7.sweep, "read", lambda *words: asked.append(words) or Found, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    config = {"experiment": "x.py", "sha256": "0", "hyperparameters": {"width": 8}, "git_commit": None, "sweep": {}}
    (tmp_path / "runs" / "config.json").write_text(json.dumps(config))
    assert command.main(["runs", "--metric", "test/loss", "--direction", "minimize", "--top", "3"]) == 0
    assert asked == [(Path("runs"), "test/loss", "minimize")]
    printed = capsys.readouterr().out
    assert "21 more are not shown" in printed
    assert printed.splitlines()[-2] == "wrote runs/report.md"
    assert printed.splitlines()[-1].startswith("wrote runs/report.html")
    assert (tmp_path / "runs" / "report.md").read_text().startswith("# mine\n")
    with pytest.raises(InputError, match="--top is 0"):
        command.main(["runs", "--top", "0"])


def test_the_command_loads_no_jax_before_it_is_needed():
    code = "import sys, lec7.cli.report; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
