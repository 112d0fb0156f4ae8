"""A script's frame: work that is done, stopped or refused in one line, and the exit code of it."""

import sys
from collections.abc import Callable, Sequence

from transformers.utils.logging import disable_progress_bar

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
        The exit code: 0, 2 for what a user can mend, 130 or 143 where a signal stopped it.
    """
    disable_progress_bar()  # of reading and writing weights: ours shows the training
    try:
        with StopRequest().installed() as stop:
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
