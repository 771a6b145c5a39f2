"""Transfer learning: pretrained weights into models, surgery on both, and plans of what to train."""

from lec7.transfer.families import FAMILIES, Family
from lec7.transfer.features import cache_folder, features
from lec7.transfer.graft import GraftError, Mismatch, Moved, Report, Rule, graft
from lec7.transfer.load import load
from lec7.transfer.lora import lora, merge
from lec7.transfer.plan import FEW, Part, Plan, plan
from lec7.transfer.positions import resize_position_embedding
from lec7.transfer.pretrained import Pretrained, blank, pretrained
from lec7.transfer.probe import Linear, Probe, linear_probe, solve, with_head
from lec7.transfer.surgery import adapt_input, cut, freeze_statistics, replace_head, rest, shorten, stages, start_from

__all__ = [
    "FAMILIES",
    "FEW",
    "Family",
    "GraftError",
    "Linear",
    "Mismatch",
    "Moved",
    "Part",
    "Plan",
    "Pretrained",
    "Probe",
    "Report",
    "Rule",
    "adapt_input",
    "blank",
    "cache_folder",
    "cut",
    "features",
    "freeze_statistics",
    "graft",
    "linear_probe",
    "load",
    "lora",
    "merge",
    "plan",
    "pretrained",
    "replace_head",
    "resize_position_embedding",
    "rest",
    "shorten",
    "solve",
    "stages",
    "start_from",
    "with_head",
]
