"""What a page tells of runs, beside what their folders have."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from html_page import Page, values
from watched import HOSTILE, REMARK

from lec7 import sweep
from lec7.experiment import RunFolder
from lec7.report.page import Swept, charts
from lec7.report.page import page as report_page
from lec7.report.page.page import TEMPLATES
from lec7.report.page.series import POINTS

pytestmark = pytest.mark.slow  # whole runs in fixtures

RUNS = "Each run with the figures of its latest evaluation"
HYPERPARAMETERS = "Hyperparameters, and options of the command"


@pytest.fixture
def reported(here, tmp_path):
    """The page of some runs, read, and as text."""

    def reported(*words):
        file = tmp_path / "page.html"
        ended = here("report", *words, "--output", str(file), cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert f"wrote {file}, " in ended.stdout
        text = file.read_text()
        return Page(text), text

    return reported


@pytest.fixture
def copied(runs, tmp_path):
    """A run that may be damaged."""
    return RunFolder(shutil.copytree(runs.plain, tmp_path / "copied"))


def line(chart, **of):
    """A line of a chart, as pairs of a step and a value."""
    return [
        (row["step"], row["value"]) for row in values(chart) if all(row[name] == value for name, value in of.items())
    ]


def test_a_page_has_the_facts_the_curves_and_the_predictions_of_its_run(runs, reported):
    page, _ = reported(runs.plain)
    folder = RunFolder(runs.plain)
    config, result, rows = folder.config, folder.result, folder.metrics()
    assert page.column(RUNS, "status") == {"plain": "finished"}
    assert float(page.column(RUNS, "test/loss")["plain"]) == pytest.approx(result["metrics"]["test/loss"], rel=1e-3)
    shown = page.column(HYPERPARAMETERS, "value")
    assert {name: shown[name] for name in config["hyperparameters"]} == {
        name: str(value) or '""' for name, value in config["hyperparameters"].items()
    }
    assert page.column("Where it comes from", "value")["jax"] == config["versions"]["jax"]

    def logged(name):
        return [(row["step"], row[name]) for row in rows if name in row]

    assert line(page.charts["loss"], kind="training") == logged("train/loss")
    assert line(page.charts["loss"], kind="test, averaged") == logged("test/loss")
    assert line(page.charts["loss"], kind="test, raw") == logged("test_raw/loss")
    assert line(page.charts["learning rate"]) == logged("train/learning_rate")
    for group, suffix in {"all parameters": "", "head": "/head", "body": "/body"}.items():
        for norm in ("gradient_norm", "update_norm", "parameter_norm", "update_ratio"):
            assert line(page.charts[norm.replace("_", " ")], kind=group) == logged(f"train/{norm}{suffix}")
    assert line(page.charts["examples per second"]) == logged("examples_per_second")
    accuracy = [(step, pytest.approx(100 * value)) for step, value in logged("test/accuracy")]
    assert line(page.charts["accuracy"], kind="test, averaged") == accuracy

    assert page.says(f"{result['metrics']['test/accuracy']:.2%} of 360 test examples are right, by the checkpoint of")
    assert page.says("trained on one device")
    wrong = round(360 * (1 - result["metrics"]["test/accuracy"]))
    assert len(page.pictures) == min(wrong, 18)
    assert all(uri.startswith("data:image/png;base64,") for uri in page.pictures)
    assert sum(row["examples"] for row in values(page.charts["confusion matrix"])) == 360


def test_a_page_fetches_nothing_and_runs_no_script_but_its_own(runs, reported):
    page, text = reported(runs.plain, "--no-predictions")
    for tag, attributes in page.attributes:
        for name in ("src", "href", "action", "srcset", "data"):
            assert re.match(r"#|data:", attributes.get(name) or "#"), f"<{tag}> has {name} {attributes[name]}"
    assert not re.search(r"@import|url\(", re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1])
    policy = next(a["content"] for tag, a in page.attributes if a.get("http-equiv") == "Content-Security-Policy")
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts]
    assert re.search("script-src ([^;]*);", policy)[1].split() == [f"'sha256-{one}'" for one in hashes]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert len(text) < 3_000_000
    assert page.says("Predictions were not asked for")
    assert "confusion matrix" not in page.charts


def test_runs_are_compared_and_what_differs_is_marked(runs, reported):
    page, _ = reported(runs.plain, runs.hostile)
    a, b = (RunFolder(path).config["hyperparameters"] for path in (runs.plain, runs.hostile))
    different = [name for name in a if a[name] != b[name]]
    assert different == ["learning_rate", "remark"]
    assert page.marked[HYPERPARAMETERS] == [f"≠ {name}" for name in different]
    assert page.says("The runs differ in learning_rate, remark;")
    headings, *rows = page.tables[HYPERPARAMETERS]
    assert headings == ["hyperparameter", "plain", HOSTILE]
    assert rows[:2] == [["≠ learning_rate", "0.01", "0.02"], ["≠ remark", '""', REMARK]]
    assert all(row[1] == row[2] for row in rows[2:])
    assert {row["run"] for row in values(page.charts["loss"])} == {"plain", HOSTILE}


def test_names_and_values_of_runs_are_texts_and_no_markup(runs, reported):
    page, text = reported(runs.hostile)
    assert page.column(HYPERPARAMETERS, "value")["remark"] == REMARK
    assert all(attributes.get("src") != "x" for tag, attributes in page.attributes)
    assert [tag for tag, _ in page.attributes].count("script") == 3
    assert "<img src=x" not in text
    assert "alert(2)</script>" not in text
    assert values(page.charts["loss"])[0]["run"] == HOSTILE


def test_members_are_asked_together(runs, reported):
    page, _ = reported(runs.pair)
    accuracy = RunFolder(runs.pair).result["metrics"]["test/accuracy"]
    assert page.says(f"{accuracy:.2%} of 360 test examples are right, by the checkpoint of step 20")
    assert page.says("2 models together")
    assert {row["kind"] for row in values(page.charts["loss"])} >= {
        "training",
        "test, together",
        "test, mean of members",
    }


def test_by_default_one_page_lies_in_its_run_and_that_of_several_here(runs, here, tmp_path):
    ended = here("report", runs.pair, "--no-predictions", cwd=tmp_path)
    assert f"wrote {runs.pair / 'report.html'}" in ended.stdout
    assert here("report", runs.pair, "--no-predictions", cwd=tmp_path).returncode == 0, "a page is written anew"
    ended = here("report", runs.plain, runs.pair, "--no-predictions", cwd=tmp_path)
    assert "wrote report.html" in ended.stdout
    assert (tmp_path / "report.html").is_file()


def test_what_can_not_be_reported_is_refused(runs, here, tmp_path):
    def refused(*words):
        ended = here("report", *words, cwd=tmp_path)
        assert ended.returncode == 2
        return ended.stderr

    foreign = tmp_path / "notes.html"
    foreign.write_text("<p>mine</p>")
    assert "was not written by lec7 report" in refused(runs.plain, "--output", foreign)
    assert foreign.read_text() == "<p>mine</p>"
    assert "a folder, expected a file" in refused(runs.plain, "--output", tmp_path)
    assert "can't be written" in refused(runs.plain, "--no-predictions", "--output", tmp_path / "no" / "page.html")
    assert "given twice" in refused(runs.plain, runs.plain.parent / ".." / "runs" / "plain")
    assert "nowhere is no run and no sweep" in refused("nowhere")
    assert "no run is given" in refused()
    assert "are for sweeps" in refused(runs.plain, "--metric", "test/loss")


def test_a_run_that_was_killed_is_shown_as_far_as_it_goes(copied, reported):
    (copied.path / "result.json").unlink()
    unfinished = copied.checkpoints_path / "80.orbax-checkpoint-tmp"  # what a run that goes on would be writing
    unfinished.mkdir()
    lines = copied.metrics_path.read_text().splitlines(keepends=True)
    copied.metrics_path.write_text("".join(lines[:4]) + lines[4][:20])
    page, _ = reported(copied.path)
    assert page.column(RUNS, "status") == {"copied": "not finished"}
    assert page.says("it is being trained, or it was killed")
    logged = [json.loads(text) for text in lines[:4]]
    assert line(page.charts["loss"], kind="training") == [
        (row["step"], row["train/loss"]) for row in logged if "train/loss" in row
    ]
    assert page.says("test examples are right"), "its checkpoint is whole"
    assert unfinished.is_dir()


def test_damage_is_told(copied, reported):
    lines = copied.metrics_path.read_text().splitlines(keepends=True)
    rows = [json.loads(text) for text in lines]
    rows[1]["train/loss"] = "nan"
    copied.metrics_path.write_text("".join([lines[0], json.dumps(rows[1]) + "\n", lines[2], "{broken\n", *lines[3:]]))
    (copied.path / "result.json").write_text("{")
    shutil.rmtree(copied.checkpoints_path)
    page, _ = reported(copied.path)
    assert page.says(f"Curves end at step {rows[2]['step']}: line 4 of metrics.jsonl is damaged.")
    assert page.says("result.json is damaged")
    assert page.says("1 figures of the log are not finite")
    assert page.says("There are no predictions:")
    assert page.says("has no checkpoint yet")


@pytest.mark.parametrize(("name", "expected"), [("gone.py", "no file"), ("changed.py", "has changed since")])
def test_without_its_file_a_run_has_no_predictions_and_the_page_says_why(copied, reported, name, expected, tmp_path):
    if name == "changed.py":
        original = Path(copied.config["experiment"])
        (tmp_path / name).write_text(original.read_text() + "\n# more\n")
    copied.write("config.json", copied.config | {"experiment": str(tmp_path / name)})
    page, _ = reported(copied.path)
    assert page.says("There are no predictions:")
    assert page.says(expected)
    assert "loss" in page.charts


def test_a_run_on_a_mesh_tells_where_its_state_lay(copied, reported):
    copied.write(
        "config.json",
        copied.config | {"mesh": "data=2,fsdp=-1", "device": {"count": 8, "kind": "x", "platform": "cpu"}},
    )
    page, _ = reported(copied.path)
    assert page.says("Mesh data=2,fsdp=-1: the state has")
    caption = "Arrays of the state, and the axes of the mesh that each of theirs is dealt out over"
    where, whole, part = (page.column(caption, name) for name in ("sharding", "bytes", "bytes of a device"))
    assert where["params/linears/0/kernel"] == "fsdp"
    assert whole["params/linears/0/kernel"] == f"{64 * 16 * 4:,}"
    assert part["params/linears/0/kernel"] == f"{64 * 16 * 4 // 4:,}"
    assert where["step"] == "whole"


def test_a_sweep_has_its_settings_and_its_best_lanes(runs, here, tmp_path):
    words = ["--learning-rate", "log:1e-3:1e-1:2", "--seed", "0:2", "--steps", "20", "--lanes", "1", "--name", "swept"]
    assert here("sweep", runs.home / "watched.py", *words, cwd=tmp_path).returncode == 0
    ended = here("report", "runs/swept", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "runs" / "swept" / "report.md").is_file()
    page = Page((tmp_path / "runs" / "swept" / "report.html").read_text())
    lanes = [json.loads(text) for text in (tmp_path / "runs" / "swept" / "results.jsonl").read_text().splitlines()]
    points = [(row["field"], row["value"]) for row in values(page.charts["test/accuracy by learning_rate"])]
    assert points == [(lane["hyperparameters"]["learning_rate"], lane["metrics"]["test/accuracy"]) for lane in lanes]
    assert page.says("A lane of a sweep keeps no parameters")
    assert page.says("4 lanes, 2 settings: 4 finished")
    assert {row["run"] for row in values(page.charts["loss"])} == {"lane 0", "lane 2"}
    assert len(page.tables["Settings: figures are means over the seeds ± their standard deviation"]) == 3
    both = here("report", "runs/swept", runs.plain, "--no-predictions", cwd=tmp_path)
    assert both.returncode == 0
    page = Page((tmp_path / "report.html").read_text())
    assert {row["run"] for row in values(page.charts["loss"])} == {"swept, lane 0", "swept, lane 2", "plain"}
    assert "<title>swept, plain</title>" in (tmp_path / "report.html").read_text()


def test_a_sweep_that_diverged_has_a_page_too():
    rows = tuple(
        sweep.Row(lane, {"learning_rate": rate}, "diverged", 1, {}, {}) for lane, rate in enumerate((1e30, 1e31))
    )
    results = sweep.Results(rows, "test/loss", "minimize")
    page = Page(report_page("swept", [], [Swept(results, "swept", "lec7 run x.py", lanes=0)]))
    assert page.says("2 lanes, 2 settings: 2 diverged")
    assert page.charts == {}


def test_long_logs_are_thinned_and_the_page_says_so(copied, reported):
    rows = [{"step": 10 * (i + 1), "train/loss": 1 / (i + 1), "test/loss": 1.0} for i in range(2 * POINTS + 100)]
    copied.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page, _ = reported(copied.path, "--no-predictions")
    drawn = line(page.charts["loss"], kind="training")
    assert len(drawn) <= POINTS
    assert drawn[-1] == (rows[-1]["step"], rows[-1]["train/loss"])
    assert np.all(np.diff([step for step, _ in drawn]) == 30)
    assert page.says("Of lines of up to 900 points every so many-th is drawn")


def luminance(colour):
    """Of red, green and blue in [0, 1], as WCAG 2.1 defines it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_numbers_on_the_strongest_squares_are_legible_in_light_and_dark():
    style = (TEMPLATES / "page.css").read_text()
    schemes = re.findall(r"--card: #(\w{6}); --ink: #(\w{6});", style)
    assert len(schemes) == 2
    blue = np.frombuffer(bytes.fromhex(charts.BLUE[1:]), np.uint8) / 255
    for colours in schemes:
        card, ink = (np.frombuffer(bytes.fromhex(colour), np.uint8) / 255 for colour in colours)
        square = charts.STRONGEST * blue + (1 - charts.STRONGEST) * card
        dark, light = sorted([luminance(square), luminance(ink)])
        assert (light + 0.05) / (dark + 0.05) >= 4.5
