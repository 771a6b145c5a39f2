"""Many models as one (lecture 7, "Model Ensembles"): trained in one program, averaged when they are asked."""

from lec7.ensemble.members import Ensemble, make, train
from lec7.ensemble.predict import mc_dropout, predict
from lec7.ensemble.report import Line, report
from lec7.ensemble.scores import make_scores, scores
from lec7.ensemble.soup import Greedy, each, greedy_soup, soup

__all__ = [
    "Ensemble",
    "Greedy",
    "Line",
    "each",
    "greedy_soup",
    "make",
    "make_scores",
    "mc_dropout",
    "predict",
    "report",
    "scores",
    "soup",
    "train",
]
