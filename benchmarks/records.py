"""What a benchmark leaves: its result with command, seed, versions and hardware, in benchmarks/results."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from xpt.program.environment import describe_command, describe_hardware, describe_versions

RESULTS = Path(__file__).parent / "results"


def record(script: str, seed: int, **measured: Any) -> dict[str, Any]:
    """A result of `benchmarks/<script>`, whose flags are this process's."""
    return {
        "command": describe_command(script, sys.argv[1:]).replace(" ", " benchmarks/", 1),
        "seed": seed,
        "versions": describe_versions(),
        "hardware": {**describe_hardware(), "cores": os.cpu_count()},
        **measured,
    }


def store(name: str, result: dict[str, Any], folder: Path = RESULTS) -> None:
    """Keep a result as `<folder>/<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
