"""The learned tests as other processors round, and with other threads and hashes: `make test-processors`.

Processors sum up in orders of their own. What a test asks of a model that has learned must hold in any of
them. Libraries read these settings when a process starts, so each one is a run of pytest; what a processor
lacks, they leave alone.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
AT_ONCE = 2
SETTINGS = (
    {},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ATEN_CPU_CAPABILITY": "avx512"},
    {"MKL_CBWR": "COMPATIBLE"},  # products of matrices without vector instructions of today
    {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "PYTHONHASHSEED": "1"},  # beside another run
    {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "2"},
)


def described(setting: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "as it is"


def passes(setting: dict[str, str]) -> bool:
    """Whether the learned tests pass under `setting`; printed, with all that failed."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "learned", "-p", "no:cacheprovider", "tests"],
        cwd=REPO,
        env={**os.environ, "OMP_NUM_THREADS": "1", **setting},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    failed = done.returncode != 0
    report = done.stdout if failed else ""
    verdict = "FAILED" if failed else "passed"
    print(f"{report}{verdict} in {time.monotonic() - start:.0f} s: {described(setting)}", flush=True)
    return not failed


def main() -> int:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(passes, SETTINGS))
    red = [described(setting) for setting, passed in zip(SETTINGS, found, strict=True) if not passed]
    if red:
        print(f"red under: {'; '.join(red)}", file=sys.stderr)
    return bool(red)


if __name__ == "__main__":
    sys.exit(main())
