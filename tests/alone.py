"""Scripts in a process that has nothing of this project."""

import json
import os
import subprocess
import sys

WITHOUT_THE_PACKAGE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "xpt" or name in [f"{kind}_{end}" for kind in ("modeling", "configuration")
                                     for end in ("xpt", "trelm", "xpt_modernbert")]:
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Absent())
"""


def run_alone(script, tmp_path, *arguments, seconds=600):
    """What a script prints, as JSON: it runs in another folder, offline, with a module cache of its own."""
    away = tmp_path / "elsewhere"
    away.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HF_HOME")}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    finished = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=away, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout), finished.stderr
