"""Ctrl-C and SIGTERM as a request that the loop looks at, not as an exception in the midst of a step."""

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType


class StopRequest:
    """True once a signal has come; `signal` tells which."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def is_asked(self) -> bool:
        """Whether to stop now."""
        return bool(self)


class SharedStopRequest(StopRequest):
    """A request to one of several processes, of which all hear at the same asking.

    JAX has a protocol for it, which begins with SIGTERM, and in which no process waits for another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._askings = 0

    def is_asked(self) -> bool:
        """Whether to stop now; each process has to ask, as many times."""
        from jax.experimental import multihost_utils

        if self.signal == signal.SIGINT:
            self.signal = None
            signal.raise_signal(signal.SIGTERM)
        self._askings += 1
        if multihost_utils.reached_preemption_sync_point(self._askings):
            self.signal = signal.SIGTERM
        return bool(self)


@contextlib.contextmanager
def stop_request(shared: bool = False) -> Generator[StopRequest]:
    """Catches the first SIGINT or SIGTERM; the second one acts as it would have without this.

    In a thread other than the main one Python hears no signals: they remain whoever's they were.

    Args:
        shared: whether several processes are to stop together. Then SIGTERM is JAX's to catch.
    """
    request = SharedStopRequest() if shared else StopRequest()
    caught = (signal.SIGINT,) if shared else (signal.SIGINT, signal.SIGTERM)
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in caught if here}

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
