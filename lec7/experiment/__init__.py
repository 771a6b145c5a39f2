"""What an experiment is, how its file is read, and how it is run."""

from lec7.experiment.definition import Experiment, check
from lec7.experiment.file import ExperimentFile, instantiate, load
from lec7.experiment.folder import RunFolder
from lec7.experiment.log import MakeWriter, Writer
from lec7.experiment.run import Observer, Outcome, evaluate, run
from lec7.experiment.settle import settle

__all__ = [
    "Experiment",
    "ExperimentFile",
    "MakeWriter",
    "Observer",
    "Outcome",
    "RunFolder",
    "Writer",
    "check",
    "evaluate",
    "instantiate",
    "load",
    "run",
    "settle",
]
