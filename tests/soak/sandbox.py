"""Runs a command line in a forked child, watched: what it opens, starts and connects to, and how it ends.

The child has everything imported already, so a case costs what it does, not what importing torch does. Audit
hooks see each file opened for writing, process started, connection, and class that a pickle asks for.
"""

import atexit
import faulthandler
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401  imported late by the scripts, and makes folders of its own when it is

PATIENCE = 60.0  # seconds; a case is one to three steps
MEMORY = 4 << 30  # bytes of address space beyond what is there, so that a case cannot take the machine's
FILE_SIZE = 1 << 30
_PROCESSES = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.forkpty",
    "pty.spawn",
)
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "urllib.Request")
_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.truncate",
    "os.symlink",
    "os.link",
    "os.chmod",
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Places:
    """What a case may: write below `writable`, run no code below `inputs`, fork if it `may_fork`."""

    working: Path
    writable: tuple[Path, ...]
    inputs: Path
    may_fork: bool = False  # data loaders of its own, which hand batches over as pickles


@dataclass
class Outcome:
    """How a case ended: `code` (negative: by that signal), what it said, and what it must not have done."""

    code: int
    seconds: float
    stdout: str
    stderr: str
    hung: bool = False
    violations: list[str] = field(default_factory=list)


def run_watched(
    main: Callable[[list[str]], int],
    arguments: list[str],
    places: Places,
    log: Path,
    meanwhile: Callable[[int], None] = lambda child: None,
) -> Outcome:
    """Call `main(arguments)` in a child, as the script would; what it prints is kept in the folder `log`.

    `meanwhile` is called with the child's process id again and again until it ends.
    """
    log.mkdir(parents=True, exist_ok=True)
    ready, tell = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(ready)
        _be_the_script(main, arguments, places, log, tell)
    os.close(tell)
    code, hung = _wait(child, ready, meanwhile)
    os.close(ready)
    _end_group(child)
    outcome = Outcome(
        code, round(time.monotonic() - began, 3), _text(log / "stdout.txt"), _text(log / "stderr.txt"), hung
    )
    outcome.violations = sorted({json.loads(line) for line in _text(log / "violations.jsonl").splitlines()})
    return outcome


def _wait(child: int, ready: int, meanwhile: Callable[[int], None]) -> tuple[int, bool]:
    """The child's exit code, and whether it had to be ended."""
    select.select([ready], [], [], PATIENCE)
    for number, patience in ((signal.SIGABRT, PATIENCE), (signal.SIGKILL, 10.0), (None, 10.0)):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status), number is not signal.SIGABRT
            meanwhile(child)
            time.sleep(0.0005)
        if number is not None:
            os.kill(child, number)
    raise RuntimeError(f"process {child} cannot be ended")


def _end_group(child: int) -> None:
    """End what the case left running; its data loaders, should they have outlived it."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else ""


# ---- in the child ----------------------------------------------------------------------------------------


def _be_the_script(
    main: Callable[[list[str]], int], arguments: list[str], places: Places, log: Path, tell: int
) -> None:
    """What a fresh interpreter would do with the script: never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        _redirect(log)
        os.chdir(places.working)
        sys.dont_write_bytecode = True
        sys.argv = ["train_xpt.py", *arguments]
        for kind, limit in (
            (resource.RLIMIT_AS, _address_space() + MEMORY),
            (resource.RLIMIT_FSIZE, FILE_SIZE),
        ):
            resource.setrlimit(kind, (limit, limit))
        _watch(places, log / "violations.jsonl")
        os.write(tell, b"x")
        code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):  # sent to a run that has ended, it stops nothing
            signal.signal(number, signal.SIG_IGN)
        threading._shutdown()  # as at the end of every interpreter: threads that keep it alive
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _redirect(log: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(log / f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    faulthandler.enable(2, all_threads=True)  # says where a hanging case is when it is aborted


def _watch(places: Places, log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    roots = [os.path.realpath(root) for root in places.writable]
    inputs = os.path.realpath(places.inputs)
    process, busy = os.getpid(), threading.local()

    def note(text: str) -> None:
        os.write(descriptor, (json.dumps(text) + "\n").encode())

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if getattr(busy, "yes", False) or os.getpid() != process:
            return
        busy.yes = True
        try:
            for text in _violations(event, values, roots, inputs, places.may_fork):
                note(text)
        finally:
            busy.yes = False

    sys.addaudithook(hook)


# No files: the null device, and where a process resets its own peak of memory.
_KERNEL = (os.devnull, "/proc/self/clear_refs")


def _violations(
    event: str, values: tuple[Any, ...], roots: list[str], inputs: str, may_fork: bool
) -> Iterable[str]:
    """What an audit event shows that a case must not do."""
    if event == "open" and isinstance(values[0], str | bytes) and isinstance(values[2], int):
        path = os.fsdecode(values[0])
        # A folder is "opened" for a temporary file without a name, which leaves no trace.
        if values[2] & _WRITES and not os.path.isdir(path) and not _below(path, roots):
            yield f"wrote {path}"
    elif event in _CHANGES:
        for path in _changed_paths(event, values):
            if not _below(path, roots):
                yield f"{event} {path}"
    elif event in _PROCESSES or (event == "os.fork" and not may_fork):
        yield f"started a process: {event} {str(values[:2])[:200]}"
    elif event in _NETWORK and not (event == "socket.connect" and isinstance(values[1], str)):
        yield f"used the network: {event} {str(values[1:2])[:100]}"
    elif event == "pickle.find_class" and not may_fork:
        yield f"opened a pickle: {values[0]}.{values[1]}"
    elif event == "exec" and getattr(values[0], "co_filename", "").startswith(inputs):
        yield f"ran code of the inputs: {values[0].co_filename}"


def _changed_paths(event: str, values: tuple[Any, ...]) -> Iterable[str]:
    """The paths an event is about, those relative to an open folder made absolute."""
    match event:
        case "os.rename" | "os.link":
            pairs = [(values[0], values[2]), (values[1], values[3])]
        case "os.symlink":
            pairs = [(values[1], values[2])]
        case "os.truncate":
            pairs = [(values[0], -1)]
        case _:
            pairs = [(values[0], values[-1])]
    for path, folder in pairs:
        if isinstance(path, str | bytes):
            text = os.fsdecode(path)
            if folder >= 0 and not os.path.isabs(text):
                text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
            yield text


def _below(path: str, roots: list[str]) -> bool:
    real = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    return os.path.abspath(path) in _KERNEL or any(
        real == root or real.startswith(root + os.sep) for root in roots
    )
