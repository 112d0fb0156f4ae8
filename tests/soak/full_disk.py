"""Lets a real, small file system run full under a real run, makes space, and starts the same command again.

    python tests/soak/full_disk.py --workdir /tmp/full_disk --output full_disk.json

The disk is a tmpfs in a mount namespace of its own, gone with this process however that ends. It is too small
from the start (several shares of what the run needs), or somebody else fills it at a moment of the run's life
(tests/soak/moments.py). Each time: exit code 2 with one line `error: ...`; all that stands verifies, nothing
unfinished is left; with space again the same command ends bit-equal to an undisturbed run. Exit code 0
if so, 77 where this user may not mount.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]  # started by its path, and from tests

for name, value in (("OMP_NUM_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false"), ("HF_HUB_OFFLINE", "1")):
    os.environ[name] = value  # a process that has threads cannot be forked

# ruff: noqa: E402
from tiny_runs import assert_equal_runs, flags

from soak.fuzzing.verdict import ending
from soak.inputs import make_inputs
from soak.moments import Folders, Moment, moments
from soak.sandbox import Outcome, Places, run_watched
from train_xpt import main
from xpt.program.environment import describe_hardware, describe_versions
from xpt.program.files import STAGING, read_record
from xpt.program.manifest import DamagedError, verify

INSIDE = "XPT_SOAK_NAMESPACE"
SKIPPED = 77
STEPS, EVAL_STEPS, SAVE_STEPS = 12, 6, 3
ROOMY = 512 << 20
SHARES = (0.02, 0.1, 0.25, 0.45, 0.7, 0.9)
BALLAST = "ballast"


@dataclass
class Filled:
    """One disk that ran full."""

    how: str
    code: int
    message: str = ""
    stood: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self, when: str) -> Iterator[None]:
        """Keep what is found wrong, and go on: the next disk may show more."""
        try:
            yield
        except (AssertionError, OSError, ValueError, DamagedError) as error:
            self.faults.append(f"{when}: {type(error).__name__}: {error}")


class Disk:
    """A tmpfs of a given size."""

    def __init__(self, folder: Path):
        self.folder = folder

    @contextmanager
    def mounted(self, size: int) -> Iterator[None]:
        """Empty at first; gone at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", self.folder], check=True)

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def used(self) -> int:
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def fill(self) -> None:
        """Somebody else takes what is left."""
        with open(self.folder / BALLAST, "ab") as file:
            while left := os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), left)
                except OSError:  # the run was faster
                    continue

    def free(self) -> None:
        (self.folder / BALLAST).unlink(missing_ok=True)


def prepare(workdir: Path) -> list[str]:
    """A small source and Korean text beside the disk; the options of the run."""
    return flags(
        {
            **make_inputs(workdir, 12_000, hidden_size=96, intermediate_size=192),
            "phase1_steps": STEPS,
            "phase2_steps": STEPS,
            "logging_steps": 1,
            "save_steps": SAVE_STEPS,
            "eval_strategy": "steps",
            "eval_steps": EVAL_STEPS,
            "output_dir": workdir / "disk" / "run",
            "cache_dir": workdir / "disk" / "cache",
        }
    )


def run(
    options: list[str], disk: Disk, log: Path, watch: Callable[[int], None] = lambda child: None
) -> Outcome:
    """The run in a forked child, to its end."""
    places = Places(log.parent, (disk.folder, Path(tempfile.gettempdir())), log.parent / "none")
    return run_watched(main, options, places, log, watch)


def undisturbed(options: list[str], disk: Disk, workdir: Path) -> int:
    """The same run with space; gives back the most bytes that it used."""
    most = 0

    def watch(child: int) -> None:
        nonlocal most
        most = max(most, disk.used())

    with disk.mounted(ROOMY):
        outcome = run(options, disk, workdir / "whole.log", watch)
        if outcome.code:
            raise RuntimeError(f"the undisturbed run failed:\n{outcome.stderr[-3000:]}")
        shutil.copytree(disk.folder / "run", workdir / "whole")
    return most


def fill_and_go_on(
    options: list[str], disk: Disk, workdir: Path, how: str, size: int, moment: Moment | None
) -> Filled:
    """One disk that is too small or is filled at a moment; then space, and the run must end equal."""
    log = workdir / how.replace(" ", "-").replace(":", "")
    folders = Folders(disk.folder / "run", disk.folder / "cache")
    with disk.mounted(size):
        folders.begin()
        waiting = [moment] if moment else []

        def watch(child: int) -> None:
            if waiting and waiting[0].has_come(folders):
                waiting.pop()
                disk.fill()

        outcome = run(options, disk, log / "full", watch)
        filled = Filled(how, outcome.code, (re.findall(r"error: .*", outcome.stderr) or [""])[-1])
        filled.faults += ending(outcome)
        with filled.noting("after it stopped"):
            filled.stood = check_what_stands(folders)
        disk.free()
        disk.resize(ROOMY)
        with filled.noting("with space again"):
            again = run(options, disk, log / "again")
            assert again.code == 0, again.stderr[-1500:]
            check_what_stands(folders)
            assert_equal_runs(workdir / "whole", folders.run)
    return filled


def check_what_stands(folders: Folders) -> list[str]:
    """Verify every record and listed checkpoint; gives back the checkpoints that stand."""
    for name in ("run.json", "progress.json"):
        if (folders.run / name).exists():
            read_record(folders.run / name)
    pointer = folders.run / "checkpoints" / "latest.json"
    listed = read_record(pointer) if pointer.exists() else []
    for saved in listed:
        folder = folders.run / "checkpoints" / saved["phase"] / f"checkpoint-{saved['step']}"
        verify(folder, saved["manifest_sha256"])
    for folder in folders.run.glob("checkpoints/initial"):
        verify(folder)
    left = [path for folder in (folders.run, folders.cache) for path in folder.rglob(f"*{STAGING}*")]
    assert not left, f"left behind: {left}"
    return [f"{saved['phase']} {saved['step']}" for saved in listed]


def soak(
    workdir: Path, shares: tuple[float, ...] = SHARES, names: tuple[str, ...] | None = None
) -> list[Filled]:
    """Fill disks of these shares of what the run needs, and at the moments of these names (None: all)."""
    workdir.mkdir(parents=True, exist_ok=True)
    options, disk = prepare(workdir), Disk(workdir / "disk")
    most = undisturbed(options, disk, workdir)
    print(f"the undisturbed run uses up to {most:,} bytes", flush=True)
    chosen = [m for m in moments(STEPS, EVAL_STEPS) if names is None or m.name in names]
    tries = [(f"{share:.0%} of the space", int(share * most), None) for share in shares]
    tries += [(f"filled at {moment.name}", ROOMY, moment) for moment in chosen]
    done = []
    for how, size, moment in tries:
        done.append(fill_and_go_on(options, disk, workdir, how, size, moment))
        print(
            f"{how:45} {done[-1].code}  {', '.join(done[-1].stood) or '-':30} {done[-1].message}", flush=True
        )
        for fault in done[-1].faults:
            print(f"    FAULT {fault}", flush=True)
    return done


def enter_namespace() -> str | None:
    """Start this script again where it may mount; gives back why that cannot be."""
    command = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    try_it = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        tried = subprocess.run(try_it, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    if tried.returncode:
        return tried.stderr.strip()
    os.execvpe(command[0], [*command, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


def command_line() -> int:
    """Run the soak; gives back the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("--shares", type=float, nargs="*", default=SHARES)
    parser.add_argument("--moments", nargs="*", help="names out of tests/soak/moments.py; default: all")
    parser.add_argument("--output", type=Path, help="where the result is stored as JSON")
    arguments = parser.parse_args()
    if INSIDE not in os.environ:
        print(f"skipped: no file system can be mounted ({enter_namespace()})", file=sys.stderr)
        return SKIPPED
    names = None if arguments.moments is None else tuple(arguments.moments)
    done = soak(arguments.workdir.resolve(), tuple(arguments.shares), names)
    stopped = sum(one.code == 2 for one in done)
    faulty = [one.how for one in done if one.faults]
    print(f"{stopped} of {len(done)} disks ran full; not as they must be: {', '.join(faulty) or 'none'}")
    if arguments.output:
        record = {
            "command": "python tests/soak/full_disk.py",
            "versions": describe_versions(),
            "hardware": describe_hardware(),
            "disks": [asdict(one) for one in done],
        }
        arguments.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(command_line())
