"""Rows, settings, and what lies on disk."""

import dataclasses
import json
import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7.errors import InputError
from lec7.sweep.lane import Lane
from lec7.sweep.program import implementation, on_host, wrapped
from lec7.sweep.results import Results, Row, direction_of
from lec7.sweep.store import Store, read_rows


def row(lane, status="finished", step=10, accuracy=0.5, **fields):
    return Row(lane, fields, status, step, {"test/accuracy": accuracy, "test/loss": 1 - accuracy}, {"a": [(1, 0.5)]})


def results(*rows, metric="test/accuracy", direction="maximize"):
    return Results(rows, metric, direction)


def test_settings_are_sorted_by_their_means_over_seeds():
    found = results(
        *(row(i, rate=0.1, seed=i, accuracy=a) for i, a in enumerate([0.5, 0.9, 0.7])),
        *(row(3 + i, rate=0.2, seed=i, accuracy=a) for i, a in enumerate([0.75, 0.75, 0.78])),
    ).settings()
    assert [setting.hyperparameters["rate"] for setting in found] == [0.2, 0.1]
    assert found[1].mean == pytest.approx(statistics.mean([0.5, 0.9, 0.7]))
    assert found[1].spread == pytest.approx(statistics.stdev([0.5, 0.9, 0.7]))


def test_what_was_stopped_comes_after_what_went_to_the_end_and_what_diverged_last():
    found = results(
        row(0, "diverged", 3, 0.99, rate=1.0),
        row(1, "stopped", 2, 0.98, rate=2.0),
        row(2, "stopped", 5, 0.97, rate=3.0),
        row(3, rate=4.0, accuracy=0.1),
        row(4, rate=5.0, accuracy=0.2),
    ).settings()
    assert [setting.hyperparameters["rate"] for setting in found] == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert math.isnan(found[-1].mean)


def test_little_of_a_loss_is_good():
    rows = row(0, rate=1.0, accuracy=0.1), row(1, rate=2.0, accuracy=0.9)
    assert results(*rows, metric="test/loss", direction="minimize").best.hyperparameters == {"rate": 2.0}


def test_a_setting_is_options_of_a_command_line():
    rows = [row(0, rate=1e-3, nesterov=False, widths=(8, 4), name="a b", seed=3)]
    whole = dataclasses.replace(results(*rows), defaults={"nesterov": True})
    assert whole.best.options == "--rate 0.001 --no-nesterov --widths 8 4 --name 'a b'"


def test_what_is_known_of_no_figure_is_refused():
    assert direction_of(None, None, ["test/loss"]) == ("test/loss", "minimize")
    assert direction_of("test/auc", "maximize", ["test/auc"]) == ("test/auc", "maximize")
    with pytest.raises(InputError, match="whether much of test/auc is good"):
        direction_of("test/auc", None, ["test/auc"])
    with pytest.raises(InputError, match="did you mean 'test/loss'"):
        direction_of("test/los", None, ["test/loss"])
    with pytest.raises(InputError, match="no results yet"):
        _ = results().best


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [row(1, rate=0.1, shape=(1, 2), accuracy=math.inf), row(0, "diverged", 3, rate=0.2, shape=(3,))]
    Store(tmp_path).add(rows)
    assert read_rows(tmp_path) == [rows[1], rows[0]]
    assert all("Infinity" not in line for line in (tmp_path / "results.jsonl").read_text().splitlines())


def test_a_line_cut_off_by_a_kill_is_left_out_and_written_over(tmp_path):
    store, path = Store(tmp_path), tmp_path / "results.jsonl"
    store.add([row(0, rate=0.1)])
    with path.open("a") as file:
        file.write('{"lane": 1, "hyper')
    assert [one.lane for one in read_rows(tmp_path)] == [0]
    store.add([row(2, rate=0.3)])
    assert [json.loads(line)["lane"] for line in path.read_text().splitlines()] == [0, 2]


def test_another_damaged_line_is_an_error(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"lane": 1}\n')
    with pytest.raises(InputError, match=r"results.jsonl is damaged"):
        read_rows(tmp_path)


def state(seed):
    """A state with an array, an int and keys of two kinds."""
    key, other = jax.random.key(seed), jax.random.key(seed, impl="rbg")
    return {"w": jax.random.normal(key, (3, 2)), "n": jnp.int32(seed), "key": key, "other": other}


def test_states_on_the_host_come_back_as_they_were(same):
    like = jax.eval_shape(lambda: state(0))
    same(jax.tree.map(wrapped, like, jax.tree.map(jnp.asarray, on_host(state(3)))), state(3))
    assert implementation(like["other"].dtype) == "rbg"


def lane(number, step=4):
    return Lane(number, {"seed": number}, step, on_host(state(number)), metrics={"test/loss": 0.5})


def test_lanes_under_way_are_saved_and_taken_up(tmp_path, same):
    Store(tmp_path).save([lane(0), lane(2)])
    left = [Lane(number, {"seed": number}) for number in range(3)]
    store = Store(tmp_path)
    assert store.holds_states
    store.load(left, on_host(state(0)))
    assert [one.step for one in left] == [4, 0, 4]
    same(left[2].state, on_host(state(2)))
    assert left[2].metrics == {"test/loss": 0.5}


def test_what_nobody_needs_any_more_is_given_up(tmp_path):
    store = Store(tmp_path)
    store.save([lane(0), lane(1)])
    store.save([lane(0, 8), lane(1, 8)])
    assert len(list((tmp_path / "states").iterdir())) == 1
    store.add([row(0, seed=0)])
    assert store.holds_states
    store.add([row(1, seed=1)])
    assert not store.holds_states


def test_saved_states_that_are_damaged_or_anothers_are_passed_over(tmp_path):
    store = Store(tmp_path)
    store.save([lane(0)])
    (path,) = (tmp_path / "states").iterdir()
    other = Lane(0, {})
    store.load([other], {"w": np.zeros((5, 5))})
    path.write_bytes(path.read_bytes()[:100])
    store.load([other], on_host(state(0)))
    assert (other.step, other.state) == (0, None)


def test_a_lane_can_not_be_taken_for_another():
    with pytest.raises(InputError, match=r"lane 0 was run with {'seed': 1}, and is to be run with {'seed': 0}"):
        Lane(0, {"seed": 0}).restore(row(0, seed=1))
