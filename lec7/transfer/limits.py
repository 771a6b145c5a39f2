"""How much a file may claim: what is built of it is bounded by what it weighs."""

from lec7.errors import InputError

FREE, PER_BYTE = 2**28, 64
"""Arrays of 256 MiB may come of any file; beyond, of each of its bytes 64 (zeros compress well, views repeat)."""


def check_size(claimed: int, weight: int, what: object) -> None:
    """Refuses arrays that nothing of this weight can have in it, before there is memory for them.

    Args:
        claimed: bytes of all arrays together.
        weight: bytes on disk of what claims them.
        what: what it is called.

    Raises:
        InputError: it claims more than is plausible.

    >>> check_size(10**13, 2000, "bomb.npz")
    Traceback (most recent call last):
    lec7.errors.InputError: bomb.npz has 2,000 bytes and claims arrays of 10,000,000,000,000: it is damaged or malicious
    """
    if claimed > FREE + PER_BYTE * weight:
        raise InputError(f"{what} has {weight:,} bytes and claims arrays of {claimed:,}: it is damaged or malicious")
