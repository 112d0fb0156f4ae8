"""The demo page, running on this machine for as long as somebody asks it something."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

APP = Path(__file__).resolve().parents[1] / "space" / "app.py"
SECONDS = 120.0


@contextmanager
def serve(options: Sequence[str], python: str = sys.executable) -> Iterator[str]:
    """Start `space/app.py` with `options` and yield its address once it answers.

    Raises:
        RuntimeError: it ended, or did not answer in two minutes; with what it said.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, str(APP), *options, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as page:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(page, address)
            yield address
        finally:
            page.terminate()


def _wait(page: subprocess.Popen, address: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urlopen(address, timeout=10):
                return
        except (URLError, OSError):
            ended = page.poll() is not None
        if ended or time.monotonic() > deadline:
            page.terminate()
            raise RuntimeError(f"{APP.name} did not start: {page.stdout.read()[-2000:]}")
        time.sleep(0.2)
