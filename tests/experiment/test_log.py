"""The log's writers: TensorBoard's own reader, and a service in place of Weights & Biases', tell what was written."""

import importlib.util
import json
import struct
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest
import wandb_service
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_run import Watcher, built, folder  # fixtures

from lec7 import experiment
from lec7.errors import InputError
from lec7.experiment import weights_and_biases
from lec7.experiment.log import Log
from lec7.experiment.weights_and_biases import WeightsAndBiases

__all__ = ["built", "folder"]


def by_step(rows):
    """All figures of a step in one, as Weights & Biases has them."""
    steps = {}
    for row in rows:
        steps.setdefault(row["step"], {}).update({name: value for name, value in row.items() if name != "step"})
    return steps


def events(folder):
    """TensorBoard's figures by name and step."""
    found = EventAccumulator(str(folder.events_path)).Reload()
    return {tag: [event.step for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def rows_of(folder):
    """The steps at which the log has each figure."""
    found = {}
    for row in folder.metrics():
        for name in row.keys() - {"step"}:
            found.setdefault(name, []).append(row["step"])
    return found


@pytest.mark.slow
def test_events_of_a_resumed_run_have_each_step_once(built, folder):
    experiment.run(built, folder, Watcher(kill_at=20))
    experiment.run(built, folder, Watcher(), resume=True)
    assert events(folder) == rows_of(folder)


def test_events_are_on_disk_while_the_run_goes_on(folder):
    with Log(folder) as log:
        for step in (5, 10):  # tensorboardX flushes the first at once
            log.write({"step": step, "train/loss": 1.0})
            until = time.monotonic() + 20
            while events(folder).get("train/loss", [0])[-1] != step:
                assert time.monotonic() < until
                time.sleep(0.1)


def test_a_writer_that_does_not_begin_closes_those_that_have(folder):
    closed = []
    good = SimpleNamespace(write=lambda row: None, close=lambda: closed.append("good"))

    def bad(folder, since):
        raise InputError("no service")

    with pytest.raises(InputError, match="no service"):
        Log(folder, 0, [lambda folder, since: good, bad])
    assert closed == ["good"]


def test_the_file_is_written_ahead_of_all_else(folder):
    seen = []
    follower = SimpleNamespace(write=lambda row: seen.append(folder.metrics()[-1]), close=lambda: None)
    with Log(folder, 0, [lambda folder, since: follower]) as log:
        log.write({"step": 5, "train/loss": 1.0})
    assert seen == [{"step": 5, "train/loss": 1.0}]


@pytest.fixture
def service(monkeypatch):
    return wandb_service.installed(monkeypatch)


@pytest.fixture
def train(built, folder):
    """Trains in the folder, and tells the service."""
    folder.write(
        "config.json", {"experiment": "e.py", "sha256": "", "hyperparameters": {"rate": 0.1}, "git_commit": ""}
    )

    def train(watcher, **options):
        writer = partial(WeightsAndBiases, project="p", id="abc", say=watcher.say)
        return experiment.run(built, folder, watcher, writers=[writer], **options)

    return train


@pytest.mark.slow
def test_the_service_is_told_each_row_at_its_step(train, folder, service):
    watcher = Watcher()
    assert train(watcher).status == "finished"
    assert service.runs["abc"] == by_step(folder.metrics())
    (begun,) = service.begun
    assert (begun["project"], begun["name"], begun["resume"]) == ("p", "run", "allow")
    assert begun["config"]["rate"] == 0.1
    assert begun["config"]["lec7"]["experiment"] == "e.py"
    assert watcher.said == ["Weights & Biases: https://service/abc"]
    assert service.finished == 1


@pytest.mark.slow
def test_a_resumed_run_goes_on_there_without_gap_or_repetition(train, folder, service):
    train(Watcher(kill_at=20))
    told = dict(service.runs["abc"])
    last = max(told)
    # It was killed: the service has a step more than the checkpoint, and lacks one that it had not received.
    told[last + 5] = {"train/loss": 1.0}
    del told[5]
    service.runs["abc"].update(told)
    train(Watcher(), resume=True)
    want = by_step(folder.metrics())
    assert service.runs["abc"].keys() == want.keys()
    assert {step: row for step, row in service.runs["abc"].items() if step != last + 5} == {
        step: row for step, row in want.items() if step != last + 5
    }
    assert service.finished == 2


@pytest.mark.slow
def test_a_service_that_knows_nothing_yet_is_told_all(train, folder, service):
    train(Watcher(kill_at=20))
    service.runs.clear()
    train(Watcher(), resume=True)
    assert service.runs["abc"] == by_step(folder.metrics())


@pytest.mark.slow
def test_a_service_that_breaks_stops_no_training(train, folder, service):
    service.fails_at = 20
    watcher = Watcher()
    assert train(watcher).status == "finished"
    assert max(service.runs["abc"]) == 15
    assert folder.metrics()[-1]["step"] == 50
    assert watcher.said[1:] == [
        "Weights & Biases is told no more (BrokenPipeError: the service is gone); metrics.jsonl has all rows"
    ]


def test_a_service_that_refuses_is_told_with_what_to_do(train, service):
    service.refuses = "No API key configured. Use `wandb login` to log in."
    with pytest.raises(InputError, match=r"Use `wandb login` to log in; when it can, or with WANDB_MODE=off"):
        train(Watcher())


@pytest.mark.slow
def test_a_process_that_is_not_the_first_tells_nobody(train, service, monkeypatch):
    monkeypatch.setitem(experiment.run.__globals__, "is_first", lambda: False)
    train(Watcher())
    assert service.begun == []


def test_a_missing_package_is_told_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(weights_and_biases.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed: pip install 'lec7\[wandb\]'"):
        weights_and_biases.check_installed()


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="pip install 'lec7[wandb]'")
def test_the_real_package_writes_each_row(train, folder, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    watcher = Watcher()
    train(watcher)
    assert "offline; upload it with: wandb sync" in watcher.said[0]
    (path,) = folder.path.glob("wandb/offline-run-*/*.wandb")
    assert dict(_records(path)) == by_step(folder.metrics())


def _records(path):
    """Steps and rows of one of wandb's files: LevelDB's log format, and records of wandb's protobuf."""
    from wandb.proto import wandb_internal_pb2 as proto

    content, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, part = proto.Record.FromString(part), b""
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            if row:
                yield row["_step"], {name: value for name, value in row.items() if name[0] != "_"}
