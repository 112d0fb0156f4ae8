"""A script's frame: work that is done, stopped or refused in one line, and the exit code of it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from xpt.program.errors import user_message
from xpt.program.interrupts import Interrupted, StopRequest
from xpt.program.launcher import is_first, say, tell_launcher
from xpt.program.processes import end_group, is_left_alone


def main_of(
    work: Callable[[Sequence[str]], str], when_stopped: str = "the same command goes on"
) -> Callable[[Sequence[str] | None], int]:
    """The `main` of a command: it takes arguments, those of this process by default, and gives an exit code.

    Args:
        work: does what the arguments say, and gives back what is printed.
        when_stopped: what is said after a signal.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        given = sys.argv[1:] if arguments is None else list(arguments)
        return run_program(lambda stop: work(given), when_stopped)

    return main


def run_program(work: Callable[[StopRequest], str], when_stopped: str = "the same command goes on") -> int:
    """Do `work` and print the text that it gives back; `when_stopped` is said after a signal.

    Returns:
        The exit code: 0, 2 for what a user can fix, 130 or 143 where a signal stopped it.
    """
    try:
        with working() as stop:
            summary = work(stop)
            if is_first() and summary:
                print(summary)
        return 0
    except Exception as error:
        if is_left_alone(error):
            say("error: another process of this run ended; it says why")
            return 2
        message = user_message(error)
        tell_launcher(message or f"{type(error).__name__}: {error}")
        if message is None:
            raise
        say(f"error: {message}")
        return 2
    except KeyboardInterrupt as interrupt:
        say(f"{interrupt or 'stopped'}; {when_stopped}")
        return interrupt.exit_code if isinstance(interrupt, Interrupted) else 130
    finally:
        end_group()


@contextmanager
def working(given: StopRequest | None = None) -> Iterator[StopRequest]:
    """What surrounds work, whoever calls for it; then signals and transformers' bars are as they were.

    Bars of reading and writing weights are off, as ours shows the training. Signals are caught, unless
    somebody listens already: then `given` is what comes out.
    """
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        if given is not None:
            yield given
            return
        with StopRequest().installed() as own:
            yield own
    finally:
        if shown:
            enable_progress_bar()
