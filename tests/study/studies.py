"""Tiny studies for the tests: seconds a run, on the text and source of tests/conftest.py."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from places import REPO

from xpt.command import main

AXES = {"embedding_init": ["random", "matched"], "seed": [1, 2]}


def write_study(folder: Path, flags: list[str], name: str = "tiny", **changes) -> Path:
    """A study file in `folder`: the base is the options of a command line, the output below the folder."""
    base = dict(zip((flag.removeprefix("--") for flag in flags[::2]), flags[1::2], strict=True))
    content = {"base": base, "axes": AXES, "output": str(folder / "studies"), **changes}
    path = folder / f"{name}.yaml"
    given = {key: value for key, value in content.items() if value is not None}
    path.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    return path


def study(*words) -> int:
    """`xpt study` in this process, its workers with one thread."""
    threads = ["--threads", "1"] if words[0] == "run" else []
    return main(["study", *map(str, words), *threads])


def start(*words, **options) -> subprocess.Popen:
    """`xpt study` in a process of its own."""
    paths = os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "xpt.command", "study", *map(str, words), "--threads", "1"],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
