"""Runs that the tests of pages are about, trained once."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from watched import HOSTILE, REMARK, WATCHED

from lec7 import cli


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of runs: `plain`; `hostile`, which differs in two hyperparameters; `pair`, of two members."""
    home = tmp_path_factory.mktemp("reported")
    (home / "watched.py").write_text(WATCHED)

    def trained(name, *options):
        words = ["run", str(home / "watched.py"), "--workdir", str(home / "runs"), "--name", name, *options]
        assert cli.main(words) == 0
        return home / "runs" / name

    return SimpleNamespace(
        home=Path(home),
        plain=trained("plain"),
        hostile=trained(HOSTILE, "--learning-rate", "0.02", "--remark", REMARK),
        pair=trained("pair", "--members", "2", "--steps", "20"),
    )
