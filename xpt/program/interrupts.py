"""SIGTERM and Ctrl-C: a running step ends, its checkpoint is written, and the program says how to go on.

Outside of training there is nothing to save, and a signal ends the program at once; so does a second one.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal ended the program; the text says where, `exit_code` is the shell's for that signal."""

    def __init__(self, number: int, where: str = ""):
        super().__init__(f"stopped by {signal.Signals(number).name}{where}")
        self.number = number
        self.exit_code = 128 + number


class StopRequest:
    """Whether a signal asked the program to stop."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal that came while stopping was put off
        self._put_off = False
        self._owner = os.getpid()

    @contextmanager
    def installed(self) -> Iterator["StopRequest"]:
        """Catch the signals while open; only in the main thread, to which Python hands them."""
        in_main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._handle) for number in SIGNALS if in_main}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def put_off(self, wanted: bool = True) -> Iterator[None]:
        """While open, a first signal only leaves its `number`; where not `wanted`, it ends the program."""
        before, self._put_off = self._put_off, wanted
        try:
            if self.number is not None and not wanted:
                raise Interrupted(self.number)
            yield
        finally:
            self._put_off = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a worker of the data loader, which ends with its parent
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self._put_off and self.number is None:
            self.number = number
            return
        raise Interrupted(number)
