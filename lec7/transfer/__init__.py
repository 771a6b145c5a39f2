"""Transfer learning: pretrained weights into models, surgery on both, and plans of what to train."""

from lec7.transfer.families import FAMILIES, Family
from lec7.transfer.graft import GraftError, Mismatch, Moved, Report, Rule, graft

__all__ = ["FAMILIES", "Family", "GraftError", "Mismatch", "Moved", "Report", "Rule", "graft"]
