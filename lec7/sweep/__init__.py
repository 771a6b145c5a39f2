"""Many runs of one experiment as one compiled program (lecture 7: finding hyperparameters)."""

from lec7.sweep.draw import Draw
from lec7.sweep.folder import config_of, read
from lec7.sweep.halving import Halving, survivors
from lec7.sweep.machine import Machine, TooManyPrograms
from lec7.sweep.observer import Observer, Silent
from lec7.sweep.results import Judge, Results, Row, Setting, option
from lec7.sweep.run import Stopped, run
from lec7.sweep.space import Space, Span, checked, linear, log

__all__ = [
    "Draw",
    "Halving",
    "Judge",
    "Machine",
    "Observer",
    "Results",
    "Row",
    "Setting",
    "Silent",
    "Space",
    "Span",
    "Stopped",
    "TooManyPrograms",
    "checked",
    "config_of",
    "linear",
    "log",
    "option",
    "read",
    "run",
    "survivors",
]
