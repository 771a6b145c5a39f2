"""Regularization: add noise in training, average it out in testing (lecture 7, section 3)."""

from lec7.regularize.layers import Dropout, Hyperparameter
from lec7.regularize.noise import dropout

__all__ = ["Dropout", "Hyperparameter", "dropout"]
