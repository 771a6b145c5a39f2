"""Ctrl-C and SIGTERM as a request that the loop looks at, not as an exception in the midst of a step."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """True once a signal has come; `signal` tells which."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catches the first SIGINT or SIGTERM; the second one acts as it would have without this."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def catch(number: int, frame: FrameType | None) -> None:
        request.signal = number
        restore()

    for number in before:
        signal.signal(number, catch)
    try:
        yield request
    finally:
        restore()
