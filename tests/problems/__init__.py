"""Problems that solvers are tried on: least squares of the literature (`PROBLEMS`, by name), and learning in small."""

from problems.learning import Learning, autoencoder, logistic_regression, rosenbrock_chain
from problems.more_garbow_hillstrom import PROBLEMS
from problems.problem import Problem

__all__ = ["PROBLEMS", "Learning", "Problem", "autoencoder", "logistic_regression", "rosenbrock_chain"]
