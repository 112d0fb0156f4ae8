"""Kills a real run again and again and starts it again by the same command; it must end as if undisturbed.

    python tests/soak/kill.py --kills 20 --workdir /tmp/soak

SIGKILL goes to the whole process group, at moments of its life (tests/soak/moments.py) in their order and,
for what remains of `--kills`, at random times. Exit code 0: weights of every phase, results and logged
losses are equal to the bit, and nothing unfinished is left behind.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]  # started by its path, and from tests

# ruff: noqa: E402
import torch
from tiny_runs import assert_equal_runs, flags, weights

from soak.inputs import make_inputs
from soak.moments import Folders, Moment, moments
from xpt.program.environment import describe_hardware, describe_versions

STEPS, EVAL_STEPS, SAVE_STEPS = 200, 20, 5
PATIENCE = 240.0  # seconds that a start may take; a hang is a failure


@dataclass
class Kill:
    """What happened to one start."""

    aimed_at: str
    hit: bool
    seconds: float
    last_saved: str


def prepare(workdir: Path) -> list[str]:
    """A tiny source and Korean text; the options of the run."""
    return flags(
        {
            **make_inputs(workdir, 6000),
            "phase1_steps": STEPS,
            "phase2_steps": STEPS,
            "logging_steps": 5,
            "save_steps": SAVE_STEPS,
            "eval_strategy": "steps",
            "eval_steps": EVAL_STEPS,
        }
    )


def command(options: list[str], folders: Folders, processes: int) -> list[str]:
    """The command line of a run."""
    places = ["--output_dir", str(folders.run), "--cache_dir", str(folders.cache)]
    python = [sys.executable]
    if processes > 1:
        python += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*python, "train_xpt.py", *options, *places]


def start(arguments: list[str], log: Path) -> subprocess.Popen:
    """Start a run in a process group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with open(log, "wb") as file:
        return subprocess.Popen(
            arguments, cwd=REPO, stdout=file, stderr=file, env=environment, start_new_session=True
        )


def run_until(arguments: list[str], folders: Folders, moment: Moment, delay: float, log: Path) -> Kill | None:
    """Start the run and kill it in `moment`; None where it ended before, with exit code 0."""
    began = time.monotonic()
    folders.begin()
    process = start(arguments, log)
    hit = False
    while process.poll() is None:
        if moment.has_come(folders):
            time.sleep(delay)
            hit = process.poll() is None
            break
        if time.monotonic() - began > PATIENCE:
            break
        time.sleep(0.0005)
    code = process.poll()
    if code == 0:
        return None
    if code is not None:
        raise RuntimeError(f"the run ended with exit code {code}:\n{log.read_text()[-3000:]}")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if not hit:
        raise RuntimeError(f"{PATIENCE} seconds passed before {moment.name!r}:\n{log.read_text()[-3000:]}")
    saved = sorted(folders.run.glob("checkpoints/*/checkpoint-*"), key=lambda path: path.stat().st_mtime)
    last = f"{saved[-1].parent.name} {saved[-1].name}" if saved else "nothing"
    return Kill(moment.name, hit, round(time.monotonic() - began, 2), last)


def plan(kills: int, chooser: random.Random) -> list[Moment]:
    """`kills` moments in their order; those beyond the known ones come at random times of training."""
    known = moments(STEPS, EVAL_STEPS)
    if kills <= len(known):
        return [known[index] for index in sorted(chooser.sample(range(len(known)), kills))]
    training = [moment for moment in known if moment.name.endswith("training")]
    chosen = [*range(len(known)), *(known.index(chooser.choice(training)) for _ in range(kills - len(known)))]
    return [known[index] for index in sorted(chosen)]


def compare(whole: Folders, killed: Folders) -> None:
    """Raise `AssertionError` where the two runs differ, or the killed one left something unfinished."""
    assert_equal_runs(whole.run, killed.run)
    for checkpoint in whole.run.glob("checkpoints/*"):
        for folder in (checkpoint, *checkpoint.glob("checkpoint-*")):
            if (folder / "model.safetensors").exists():
                other = weights(killed.run / folder.relative_to(whole.run))
                assert all(torch.equal(tensor, other[name]) for name, tensor in weights(folder).items())
    left = {str(path.relative_to(killed.run)) for path in killed.run.rglob("*")}
    expected = {str(path.relative_to(whole.run)) for path in whole.run.rglob("*")}
    assert left == expected, f"left behind: {sorted(left ^ expected)}"


def soak(workdir: Path, kills: int, seed: int, processes: int = 1) -> list[Kill]:
    """Kill and compare in `workdir`; raises where the run does not end, or ends differently."""
    workdir.mkdir(parents=True, exist_ok=True)
    options, chooser = prepare(workdir), random.Random(seed)
    whole, killed = (
        Folders(workdir / name / "run", workdir / name / "cache") for name in ("whole", "killed")
    )
    undisturbed = start(command(options, whole, processes), workdir / "whole.log")
    if undisturbed.wait(timeout=10 * PATIENCE):
        raise RuntimeError(f"the undisturbed run failed:\n{(workdir / 'whole.log').read_text()[-3000:]}")
    done: list[Kill] = []
    for number, moment in enumerate(plan(kills, chooser)):
        log = workdir / f"killed-{number}.log"
        delay = chooser.uniform(0, moment.within)
        kill = run_until(command(options, killed, processes), killed, moment, delay, log)
        done.append(kill or Kill(moment.name, False, 0.0, "the run had ended"))
        print(
            f"{number + 1:3}. {done[-1].aimed_at:32} {done[-1].seconds:6.1f} s  {done[-1].last_saved}",
            flush=True,
        )
    last = start(command(options, killed, processes), workdir / "last.log")
    if last.wait(timeout=10 * PATIENCE):
        raise RuntimeError(f"the last start failed:\n{(workdir / 'last.log').read_text()[-3000:]}")
    compare(whole, killed)
    return done


def main() -> int:
    """Run the soak; gives back the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nproc", type=int, default=1, help="processes, under torchrun")
    parser.add_argument("--workdir", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("--output", type=Path, help="where the result is stored as JSON")
    arguments = parser.parse_args()
    for name in ("whole", "killed"):
        shutil.rmtree(arguments.workdir / name, ignore_errors=True)
    done = soak(arguments.workdir, arguments.kills, arguments.seed, arguments.nproc)
    hits = sum(kill.hit for kill in done)
    print(f"{hits} of {len(done)} kills hit; weights, results and losses equal to the bit")
    if arguments.output:
        record = {
            "command": f"python tests/soak/kill.py --kills {arguments.kills} --seed {arguments.seed}",
            "versions": describe_versions(),
            "hardware": describe_hardware(),
            "processes": arguments.nproc,
            "hits": hits,
            "kills": [asdict(kill) for kill in done],
        }
        arguments.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
