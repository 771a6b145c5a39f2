"""Transfer learning: pretrained weights into models, surgery on both, and plans of what to train."""

from lec7.transfer.families import FAMILIES, Family
from lec7.transfer.graft import GraftError, Mismatch, Moved, Report, Rule, graft
from lec7.transfer.load import load
from lec7.transfer.lora import lora, merge
from lec7.transfer.positions import resize_position_embedding
from lec7.transfer.surgery import adapt_input, cut, freeze_statistics, replace_head, rest, start_from

__all__ = [
    "FAMILIES",
    "Family",
    "GraftError",
    "Mismatch",
    "Moved",
    "Report",
    "Rule",
    "adapt_input",
    "cut",
    "freeze_statistics",
    "graft",
    "load",
    "lora",
    "merge",
    "replace_head",
    "resize_position_embedding",
    "rest",
    "start_from",
]
