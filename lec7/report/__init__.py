"""Pictures of finished runs."""

from lec7.report.curves import curves
from lec7.report.learning_rates import learning_rates
from lec7.report.sweeps import sweep
from lec7.report.transfer import Judged, transfer

__all__ = ["Judged", "curves", "learning_rates", "sweep", "transfer"]
