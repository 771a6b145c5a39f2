"""A run on a mesh of devices, and of examples on the host: what it leaves is what one device leaves."""

import dataclasses
import sys

import jax
import numpy as np
import pytest
from on_host import OnHost
from test_run import Watcher, figures, of_small

from lec7 import data, ensemble, experiment, train, tree
from lec7.errors import InputError
from lec7.experiment.settle import free_bytes
from lec7.train.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def plain(small):
    return of_small(small, steps=20, batch_size=16)


def ran(built, workdir, **options):
    folder = experiment.RunFolder.create(workdir, "run", "x", overwrite=False, needed=0)
    watcher = Watcher(**options)
    outcome = experiment.run(built, folder, watcher)
    return folder, outcome, watcher


@pytest.fixture(scope="module")
def alone(plain, tmp_path_factory):
    return ran(plain, tmp_path_factory.mktemp("alone"))[0]


def end_state(built, folder):
    with Checkpoints(folder.checkpoints_path) as checkpoints:
        return checkpoints.restore(built.init()).state


def assert_same_run(folder, alone, atol=1e-5):
    rows, expected = figures(folder), figures(alone)
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, want in zip(rows, expected, strict=True):
        for name, value in want.items():
            assert row[name] == pytest.approx(value, abs=atol), (name, row["step"])


def on(built, sizes, **changes):
    return dataclasses.replace(built, mesh=train.make_mesh(sizes), **changes)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["device", "host"])
def test_a_run_on_a_mesh_is_that_of_one_device(plain, alone, tmp_path, where):
    built = on(plain, "data=4,fsdp=2")
    if where == "host":
        built = dataclasses.replace(built, train=OnHost(plain.train), test=OnHost(plain.test))
    experiment.check(built)
    folder, outcome, _ = ran(built, tmp_path)
    assert outcome.status == "finished"
    assert_same_run(folder, alone)


@pytest.mark.slow
def test_a_run_of_examples_on_the_host_is_that_of_the_device(plain, alone, tmp_path, same):
    built = dataclasses.replace(plain, train=OnHost(plain.train), test=OnHost(plain.test))
    experiment.check(built)
    folder, _, watcher = ran(built, tmp_path)
    assert_same_run(folder, alone, atol=1e-6)
    same(end_state(plain, folder), end_state(plain, alone))
    told = [row["waiting_for_data"] for row in watcher.rows if "train/loss" in row]
    assert len(told) == 4
    assert all(0 <= share <= 1 for share in told)
    first = ensemble.report(built, end_state(built, folder))[0]
    assert first.figures["loss"] == pytest.approx(folder.metrics()[-1]["test/loss"], abs=1e-6)


@pytest.mark.slow
def test_a_checkpoint_of_a_mesh_is_read_on_another_one_and_on_one_device(plain, alone, tmp_path):
    folder, outcome, _ = ran(on(plain, "data=2,fsdp=4"), tmp_path, kill_at=10)
    assert (outcome.status, outcome.step) == ("interrupted", 15)
    saved = end_state(plain, folder)
    for sizes in ("fsdp=8", "data=2"):
        built = on(plain, sizes)
        read = end_state(built, folder)
        assert read.params["head"]["kernel"].sharding.mesh == built.mesh
        for name, want in tree.named(saved.params).items():
            np.testing.assert_array_equal(tree.named(read.params)[name], want)
    outcome = experiment.run(on(plain, "fsdp=8"), folder, Watcher(), resume=True)
    assert outcome.status == "finished"
    assert_same_run(folder, alone)


@pytest.mark.slow
def test_new_averages_on_a_mesh(plain, tmp_path):
    built = on(plain, "fsdp=8")
    folder, _, _ = ran(built, tmp_path, kill_at=5)
    watcher = Watcher()
    assert experiment.run(built, folder, watcher, resume=True, averages=False).status == "finished"
    assert "averages and snapshots begin anew at step 10" in watcher.said


def test_no_device_has_room_for_all_of_a_state_when_it_is_made(plain):
    state = on(plain, "fsdp=8").init()
    kernel = state.params["linears"]["0"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(6, 1)}


def test_rules_are_the_experiment_s(plain):
    state = on(plain, "fsdp=8", rules={".*": train.replicated}).init()
    assert state.params["linears"]["0"]["kernel"].is_fully_replicated
    with pytest.raises(InputError, match="no leaf matches 'haed'"):
        on(plain, "fsdp=8", rules={"haed": train.fsdp}).init()


def test_a_batch_that_the_mesh_can_t_share_is_refused_ahead(plain):
    with pytest.raises(InputError, match="batch_size is 10, expected a multiple of 8"):
        experiment.check(on(plain, "data=8", batch_size=10))


def test_a_folder_is_one_run_s_at_a_time(plain, tmp_path):
    folder = experiment.RunFolder.create(tmp_path, "run", "x", overwrite=False, needed=0)
    with folder.locked(), pytest.raises(InputError, match="is what another process is training just now"):
        experiment.run(plain, folder, Watcher())
    with folder.locked():  # and is free afterwards
        pass


def test_examples_that_fit_come_to_the_device_and_it_is_told(plain):
    built = dataclasses.replace(plain, train=OnHost(plain.train), test=data.stream(OnHost(plain.test)))
    settled = experiment.settle(built)
    assert isinstance(settled.experiment.train, data.ArraySource)
    assert settled.experiment.test is built.test
    assert settled.told == [
        "100 examples to train with, 0 MB, are on the device",
        "100 examples to test with, 0 MB, are read from the host as they are needed: as asked",
    ]
    assert experiment.settle(built, "host").experiment.train is built.train
    assert isinstance(experiment.settle(built, "device").experiment.test, data.ArraySource)
    assert experiment.settle(plain).told == []


def test_examples_that_do_not_fit_stay(plain, monkeypatch):
    built = dataclasses.replace(plain, train=OnHost(plain.train))
    of_settle = sys.modules["lec7.experiment.settle"]
    monkeypatch.setattr(of_settle, "free_bytes", lambda: 4 * data.nbytes(built.train) - 1)
    settled = experiment.settle(built)
    assert settled.experiment.train is built.train
    assert "read from the host as they are needed: more than a quarter of the 0 MB that are free" in settled.told[0]


def test_there_is_some_memory_free():
    assert 1e6 < free_bytes() < 1e15


def test_ensembles_say_that_they_take_examples_on_the_device(plain):
    @dataclasses.dataclass(frozen=True)
    class HP:
        seed: int = 0

    host = OnHost(plain.train)
    with pytest.raises(InputError, match=r"ensembles take examples on the device.*give data.load of it"):
        ensemble.make(lambda hp: dataclasses.replace(plain, train=host, seed=hp.seed), HP(), range(2))


def test_an_experiment_on_the_host_classifies_by_its_first_example(plain):
    built = dataclasses.replace(plain, test=OnHost(plain.test))
    assert built.classifies
    assert jax.eval_shape(built.init).params["head"]["bias"].shape == (3,)
