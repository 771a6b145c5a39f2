"""Real processes, killed and resumed: the end is the undisturbed run's, bit for bit."""

import json
import signal
import time

import pytest
import soak

from lec7.experiment import RunFolder, log


def when(condition, process):
    """Waits until something is seen on disk; False where the process ended first."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.001)
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """How a run ends that nobody kills."""
    return soak.undisturbed(tmp_path_factory.mktemp("undisturbed") / "a")[0]


def logged(folder, step):
    path = folder / "metrics.jsonl"
    return lambda: path.exists() and f'"step": {step},' in path.read_text()


def writing(folder, step):
    """While Orbax writes a step: its folder has a temporary name until all of it is there."""
    checkpoints = folder / "checkpoints"
    return lambda: checkpoints.is_dir() and any(p.name.startswith(f"{step}.orbax") for p in checkpoints.iterdir())


MOMENTS = {
    "before the first checkpoint": (logged, 100),
    "while a checkpoint is being written": (writing, 1500),
    "between checkpoints": (logged, 1850),
    "near the end": (logged, 2950),
}


@pytest.mark.slow
def test_sigkill_and_resume_end_bit_for_bit_as_undisturbed(tmp_path, undisturbed):
    """One run, killed at each of these moments."""
    folder = tmp_path / "a"
    for moment, (seen, step) in MOMENTS.items():
        process = soak.go_on(folder)
        assert when(seen(folder, step), process), (moment, soak.finish(process)[1])
        process.kill()
        process.wait()
        if seen is writing:
            assert writing(folder, step)(), moment
    code, output = soak.finish(soak.go_on(folder))
    assert code == 0, output
    assert soak.differences(soak.end_of(folder), undisturbed) == []


@pytest.mark.slow
def test_sigkill_at_random_moments_ends_bit_for_bit_as_undisturbed(tmp_path, undisturbed):
    """A little of what scripts/soak.py does; ten seconds are about the time of a run that is compiled."""
    runs = list(soak.soak(tmp_path, undisturbed, seconds=10, kills=4))
    assert sum(len(run.kills) for run in runs) == 4
    assert [run.differences for run in runs] == [[]] * len(runs)


@pytest.mark.slow
def test_a_signal_saves_says_how_to_go_on_and_has_a_code_of_its_own(tmp_path, undisturbed):
    folder, begun = tmp_path / "a", 0
    for number, code, seen in ((signal.SIGTERM, 143, 300), (signal.SIGINT, 130, 1700)):
        process = soak.go_on(folder)
        assert when(logged(folder, seen), process), soak.finish(process)[1]
        process.send_signal(number)
        got, output = soak.finish(process)
        assert got == code, output
        assert f"training from step {begun} " in output
        begun = json.loads((folder / "result.json").read_text())["step"]
        assert f"stopped at step {begun}, saved; go on with: lec7 run --resume {folder}" in output
        assert (folder / "checkpoints" / str(begun)).is_dir()
    code, output = soak.finish(soak.go_on(folder))
    assert code == 0, output
    assert f"training from step {begun} " in output
    assert soak.differences(soak.end_of(folder), undisturbed) == []


@pytest.mark.slow
def test_a_diverging_run_has_a_code_of_its_own(tmp_path):
    code, output = soak.finish(
        soak.start(soak.EXPERIMENT, *soak.STEPS, "--learning-rate", "1e38", "--workdir", tmp_path)
    )
    assert code == 3, output
    assert "the loss became" in output
    assert "learning_rate" in output


def test_a_kill_while_the_log_is_cut_to_the_checkpoint_costs_no_row(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.metrics_path.write_text('{"step": 50}\n{"step": 100}\n{"step": 150}\n')

    def killed(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "_line", killed)
    with pytest.raises(KeyboardInterrupt):
        log.Log(folder, since=100)
    assert [row["step"] for row in folder.metrics()] == [50, 100, 150]
