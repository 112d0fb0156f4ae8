"""How fast text becomes ids, and what memory it takes, through the preparation of the CLI.

    python benchmarks/preparation.py PARTS... --scale 1 5 --tokenizer tokenizer --store FILE.json

Each start is a process of its own; a second one finds the first one's cache. Sizes are the first 1, 2, ... of
PARTS, which should be parts of one text. Memory is that of all processes together (PSS: a shared page counts
once), sampled; pages of files that are mapped count, though the system takes them back when it needs them,
so that the anonymous part stands beside it. Wall times mean little on a busy machine: see `load`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
from xpt.program.environment import available_cores, describe_command, describe_hardware, describe_versions  # noqa: E402

MIB = 2**20


def memory_of_tree(root: int) -> tuple[int, int]:
    """Proportional resident bytes of a process and its descendants, and the anonymous part of them."""
    total = anonymous = 0
    waiting = [root]
    while waiting:
        place = Path(f"/proc/{waiting.pop()}")
        try:
            rollup = (place / "smaps_rollup").read_text()
            for thread in (place / "task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except OSError:  # it has just ended
            continue
        total += 1024 * int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])  # type: ignore[index]
        anonymous += 1024 * int(re.search(r"^Pss_Anon:\s+(\d+)", rollup, re.M)[1])  # type: ignore[index]
    return total, anonymous


class Watch:
    """Samples the memory of a process tree while open; the highest by stage."""

    def __init__(self, root: int):
        self.stage, self.peaks = "import", defaultdict[str, list[int]](lambda: [0, 0])
        self._root, self._end = root, threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while not self._end.wait(0.1):
            # One that forks while it is read would count twice: its own pages before, its children's after.
            found = map(min, zip(*(memory_of_tree(self._root) for _ in range(2)), strict=True))
            self.peaks[self.stage] = [max(pair) for pair in zip(self.peaks[self.stage], found, strict=True)]

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()


def start(flags: list[str]) -> dict:
    """Prepare once in a fresh process: what it measured of itself, and its memory by stage."""
    command = [sys.executable, str(REPO / "benchmarks" / "preparation_run.py"), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    result: dict = {}
    with Watch(process.pid) as watch:
        for line in process.stdout:
            if line.startswith('{"begins"'):
                watch.stage = json.loads(line)["begins"]
            elif line.startswith('{"result"'):
                result = json.loads(line)["result"]
    if process.wait():
        sys.exit(f"preparation ended with {process.returncode}")
    result["peak_mib"] = {stage: round(both[0] / MIB) for stage, both in watch.peaks.items()}
    result["peak_anonymous_mib"] = {stage: round(both[1] / MIB) for stage, both in watch.peaks.items()}
    return result


def measure(parts: list[str], options: list[str]) -> dict:
    """A first start with an empty cache, and a second one with what it left."""
    with tempfile.TemporaryDirectory() as cache:
        flags = ["--corpus", *parts, "--cache_dir", cache, *options]
        first, again = start(flags), start(flags)
    assert again["fingerprints"] == first["fingerprints"] and again["tokens"] == first["tokens"]
    for entry in (first["whole"], *first["stages"].values()):
        for kind in ("wall", "cpu"):
            entry[f"sentences_per_{kind}_second"] = round(
                first["sentences_cleaned"] / entry[f"{kind}_seconds"]
            )
    again = {key: again[key] for key in ("import_seconds", "whole", "stages")}
    return {"parts": len(parts), **first, "second_start": again}


def growth(sizes: list[dict]) -> dict:
    """Between the smallest and the largest size: memory a sentence, and time as against sentences."""
    small, large = sizes[0], sizes[-1]
    more = large["sentences_cleaned"] - small["sentences_cleaned"]
    ratio = large["sentences_cleaned"] / small["sentences_cleaned"]
    found: dict = {"sentences_ratio": round(ratio, 3)}
    for kind in ("peak_mib", "peak_anonymous_mib"):
        name = kind.replace("peak", "bytes_a_sentence").replace("_mib", "")
        found[name] = {
            stage: round((large[kind][stage] - small[kind][stage]) * MIB / more, 1)
            for stage in ("corpus", "tokenizer", "ids")
            if stage in large[kind] and stage in small[kind]
        }
    for kind in ("wall_seconds", "cpu_seconds"):
        found[f"{kind}_by_sentences"] = {
            stage: round(large["stages"][stage][kind] / small["stages"][stage][kind] / ratio, 3)
            for stage in large["stages"]
        }
    return found


def rounded(value):
    """Numbers with three digits behind the point."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return round(value, 3) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="+", help="files of one text")
    parser.add_argument("--scale", nargs="+", type=int, help="how many of the parts; default: all")
    parser.add_argument("--tokenizer", help="a ready tokenizer; default: one is trained")
    parser.add_argument("--workers", type=int, help="--preprocessing_num_workers; default: the cores")
    parser.add_argument("--near_duplicates", action="store_true")
    parser.add_argument("--store", type=Path, help="JSON file; an entry of the same name is replaced")
    given = parser.parse_args()
    options = ["--tokenizer_name_or_path", given.tokenizer] if given.tokenizer else []
    options += ["--preprocessing_num_workers", str(given.workers)] if given.workers else []
    options += ["--near_duplicates", "true"] if given.near_duplicates else []
    sizes = []
    for count in sorted(given.scale or [len(given.parts)]):
        sizes.append(measure(given.parts[:count], options))
        whole = sizes[-1]["whole"]
        print(
            f"{sizes[-1]['sentences_cleaned']:,} sentences: {whole['wall_seconds']:.1f} s, "
            f"{whole['sentences_per_wall_second']:,} sentences/s; {whole['cpu_seconds']:.1f} CPU s, peak "
            f"{max(sizes[-1]['peak_mib'].values()):,} MiB; second start "
            f"{sizes[-1]['second_start']['whole']['wall_seconds']:.2f} s",
            flush=True,
        )
    shown = [Path(word).name if "/" in word else word for word in sys.argv[1:]]  # no path of this machine
    result = {
        "command": describe_command(__file__, shown).replace(
            "preparation.py", "benchmarks/preparation.py", 1
        ),
        "versions": describe_versions(),
        "hardware": {**describe_hardware(), "cores": available_cores(), "load": round(os.getloadavg()[0], 1)},
        "sizes": sizes,
        **({"growth": growth(sizes)} if len(sizes) > 1 else {}),
    }
    if "growth" in result:
        print(json.dumps(result["growth"], indent=1))
    if given.store:
        name = "ready tokenizer" if given.tokenizer else "trained tokenizer"
        name += " and near-duplicates" if given.near_duplicates else ""
        stored = json.loads(given.store.read_text("utf-8")) if given.store.exists() else {}
        given.store.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**stored, name: rounded(result)}, ensure_ascii=False, indent=1) + "\n"
        given.store.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
