"""Command lines of benchmarks that tell train_xpt.py what stands after `--`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xpt.program.options import OptionParser
from xpt.program.script import run_program


def run_with_flags(bench: Callable[[Any, Sequence[str]], str], arguments: type, script: str, doc: str) -> int:
    """Run `bench` on what was read before `--` and what stands after it; the exit status."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    parser = OptionParser((arguments,), script, doc)
    return run_program(lambda stop: bench(parser.read(given[:end], Path).parts[0], given[end + 1 :]))
