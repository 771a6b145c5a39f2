"""Pictures of finished runs."""

from lec7.report.curves import curves

__all__ = ["curves"]
