"""Pictures of finished runs."""

from lec7.report.curves import curves
from lec7.report.learning_rates import learning_rates

__all__ = ["curves", "learning_rates"]
