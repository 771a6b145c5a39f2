"""Methods that know the curvature, the one line search that they share, and a loop to a minimum."""

from lec7.optim.second_order.bfgs import InverseHessian, bfgs
from lec7.optim.second_order.lbfgs import Pairs, lbfgs
from lec7.optim.second_order.least_squares import Damping, gauss_newton, half_square, levenberg_marquardt
from lec7.optim.second_order.line_search import Found, Outcome, line_search
from lec7.optim.second_order.minimize import Progress, Result, Status, minimize
from lec7.optim.second_order.newton import newton, newton_cg
from lec7.optim.second_order.searching import SearchState, searching

__all__ = [
    "Damping",
    "Found",
    "InverseHessian",
    "Outcome",
    "Pairs",
    "Progress",
    "Result",
    "SearchState",
    "Status",
    "bfgs",
    "gauss_newton",
    "half_square",
    "lbfgs",
    "levenberg_marquardt",
    "line_search",
    "minimize",
    "newton",
    "newton_cg",
    "searching",
]
