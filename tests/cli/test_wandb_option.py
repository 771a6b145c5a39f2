"""`lec7 run --wandb`: what is asked of Weights & Biases, and what is said where that can't be."""

import importlib.util
import json

import pytest
import wandb_service
from test_cli import DIGITS, QUICK


@pytest.mark.slow
def test_a_run_keeps_the_identity_that_it_has_there(here, tmp_path, monkeypatch):
    service = wandb_service.installed(monkeypatch)
    done = here("run", DIGITS, "--name", "a", "--wandb", "lecture", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "runs/a/config.json").read_text())["wandb"]
    assert kept["project"] == "lecture"
    assert f"Weights & Biases: https://service/{kept['id']}" in done.stdout
    assert set(service.runs) == {kept["id"]}
    (tmp_path / "runs/a/result.json").unlink()
    assert here("run", "--resume", "runs/a", cwd=tmp_path).returncode == 0
    first, again = service.begun
    assert (first["id"], first["project"]) == (again["id"], again["project"]) == (kept["id"], "lecture")
    assert again["config"] == first["config"]
    assert first["config"]["width"] == 8


@pytest.mark.slow
def test_another_run_is_another_one_there(here, tmp_path, monkeypatch):
    service = wandb_service.installed(monkeypatch)
    for name in ("a", "b"):
        here("run", DIGITS, "--name", name, "--wandb", "lecture", *QUICK, cwd=tmp_path)
    assert len(service.runs) == 2


def test_a_missing_package_is_told_with_the_extra_before_any_work(here, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = here("run", DIGITS, "--wandb", "lecture", *QUICK, cwd=tmp_path)
    assert done.returncode == 2
    assert "not installed: pip install 'lec7[wandb]'" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_service_that_refuses_leaves_a_run_that_can_go_on(here, tmp_path, monkeypatch):
    service = wandb_service.installed(monkeypatch)
    service.refuses = "No API key configured. Use `wandb login` to log in.\nMore of that."
    done = here("run", DIGITS, "--name", "a", "--wandb", "lecture", *QUICK, cwd=tmp_path)
    assert done.returncode == 2
    assert "Use `wandb login` to log in; when it can" in done.stderr
    assert "Traceback" not in done.stderr
    service.refuses = None
    assert here("run", "--resume", "runs/a", cwd=tmp_path).returncode == 0
