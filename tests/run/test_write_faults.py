"""A disk that refuses a write, whichever: one line says so, what was saved stands, the run ends equal."""

import json
import re
import subprocess
import sys

import pytest
from places import REPO
from soak.write_faults import COMPILER, preload

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def tried(options, tmp_path_factory):
    """What tests/soak/fail_writes.py saw, by kind."""

    def run(kind: str) -> dict:
        base = tmp_path_factory.mktemp(kind)
        flags = options(phase1_steps=2, phase2_steps=4, save_steps=1, logging_steps=1)
        command = [sys.executable, "tests/soak/fail_writes.py", kind, str(base), *flags]
        done = subprocess.run(command, cwd=REPO, env=preload(base), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run


@pytest.mark.slow
def test_whichever_write_of_a_save_fails_the_one_before_stands_and_the_run_ends_equal(tried):
    seen = tried("save")
    assert seen["failed"] > 40  # every file is opened, written and flushed
    for message in seen["messages"]:
        assert re.match(r"RUN/checkpoints/phase2/\S+ cannot be written \(.*No space left", message), message
        assert re.search(r"the same command goes on from step [23] of phase2$", message), message


@pytest.mark.slow
def test_whichever_write_of_a_run_fails_it_is_one_line_and_the_next_start_ends_equal(tried):
    seen = tried("run")
    assert len(seen["messages"]) == 12
    for message in seen["messages"]:
        assert message.startswith("error: ") and "No space left on device" in message, message
