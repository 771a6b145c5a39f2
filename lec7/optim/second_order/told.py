"""Codes that can tell what they mean."""

from enum import IntEnum
from typing import Self


class Told(IntEnum):
    """An integer enumeration whose members have a sentence each: `NAME = 1, "What it means."`.

    >>> class Sky(Told):
    ...     CLEAR = 0, "The sky is clear."
    >>> Sky(0).name, Sky.CLEAR.sentence
    ('CLEAR', 'The sky is clear.')
    """

    sentence: str

    def __new__(cls, code: int, sentence: str) -> Self:
        """Attaches the sentence."""
        self = int.__new__(cls, code)
        self._value_ = code
        self.sentence = sentence
        return self
