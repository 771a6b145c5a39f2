"""The command in the test's own process."""

import subprocess

import pytest

from lec7 import cli


@pytest.fixture
def here(capsys, monkeypatch):
    """The command in this process, which spares the seconds of a start: `lec7` where that is all the same."""

    def here(*words, cwd):
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        try:
            code = cli.main(list(map(str, words)))
        except SystemExit as stopped:
            code = stopped.code
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return here
