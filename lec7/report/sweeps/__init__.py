"""What came out of a sweep, as pictures and a page."""

from lec7.report.sweeps.page import sweep

__all__ = ["sweep"]
