"""Measuring a device: how fast lec7 works on it, beside what it can do at the most."""

from lec7.bench.parts import PARTS, Part, measurements
from lec7.bench.record import Record, here, load
from lec7.bench.scale import Scale, of_device
from lec7.bench.work import Figure, Work, measure

__all__ = ["PARTS", "Figure", "Part", "Record", "Scale", "Work", "here", "load", "measure", "measurements", "of_device"]
