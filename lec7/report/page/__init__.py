"""One HTML page about runs, which needs nothing but itself."""

from lec7.report.page.page import is_page, page
from lec7.report.page.predictions import Predicted, predict
from lec7.report.page.run import Run, of_run, of_sweep
from lec7.report.page.sections import Subject
from lec7.report.page.sharding import sharding
from lec7.report.page.swept import Swept

__all__ = ["Predicted", "Run", "Subject", "Swept", "is_page", "of_run", "of_sweep", "page", "predict", "sharding"]
