"""Feeds a run nonsense for some minutes: options, recipes, text, tokenizers, sources, checkpoints, signals.

    python tests/soak/fuzz.py --minutes 10 --seed 0 --workdir /tmp/fuzz --output fuzz.json
    python tests/soak/fuzz.py --seed 0 --workdir /tmp/fuzz --case "corpus:17"      # that one again

Whatever comes: it ends in time with code 0, 2, 130 or 143; code 2 with one line `error: ...`; no traceback;
nothing written outside of the run's folder and its cache; no process, connection or pickle; no code of an
input run; nothing unfinished left. Damage to an interrupted run is refused, or it ends with the weights of an
undisturbed one. Exit code 0 if all of that holds; what does not is kept below `failures` with its command.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]  # started by its path, and from tests
KEPT_OF_A_FAULT = 3


def sandbox_environment(workdir: Path) -> dict[str, Path]:
    """Give this process a home and a temporary folder of its own, before it imports what looks for them."""
    places = {"home": workdir / "home", "temporary": workdir / "temporary"}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    os.environ |= {
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    for name in ("HF_HOME", "XPT_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        os.environ.pop(name, None)
    tempfile.tempdir = None
    return places


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cases", type=int, help="so many, however long they take")
    parser.add_argument("--kinds", help="only these, comma-separated")
    parser.add_argument("--case", help="only this one, as KIND:NUMBER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=Path, required=True, help="an empty or new folder")
    parser.add_argument("--output", type=Path, help="where the result is stored as JSON")
    return parser.parse_args(arguments)


class Fuzzer:
    """Draws cases, runs them, and keeps what went wrong."""

    def __init__(self, workdir: Path, seed: int, places: dict[str, Path]):
        from soak.fuzzing.base import Base, make_base
        from soak.fuzzing.verdict import listing
        from soak.sandbox import Places, run_watched

        self.workdir, self.seed, self.places = workdir, seed, places
        self.base = Base(workdir / "base")
        self.counts: dict[str, Counter] = {}
        self.faults: dict[str, list[str]] = {}  # by what went wrong: the cases
        self.messages: dict[str, set[str]] = {}
        self.seconds: list[float] = []
        self.base.folder.mkdir()
        made = run_watched(
            lambda _: make_base(self.base.folder),
            [],
            Places(workdir, (workdir,), workdir / "none"),
            workdir / "log",
        )
        if made.code != 0:
            raise RuntimeError(f"what is valid could not be made:\n{made.stderr[-3000:]}")
        self.untouched = {name: place for name, place in places.items()} | {"base": self.base.folder}
        self.before = {name: listing(place) for name, place in self.untouched.items()}

    def run(self, kind: str, number: int) -> list[str]:
        """One case; gives back what went wrong."""
        from soak.fuzzing.case import send_signal
        from soak.fuzzing.kinds import make_case
        from soak.fuzzing.verdict import judge, said, signature
        from soak.sandbox import Places, run_watched
        from train_xpt import main

        folder = self.workdir / "case"
        shutil.rmtree(folder, ignore_errors=True)
        case = make_case(kind, number, self.seed, folder, self.base)
        writable = (*case.writable(), self.places["temporary"])
        outcome = run_watched(
            main,
            case.arguments(),
            Places(folder / "cwd", writable, case.inputs, case.has_workers()),
            folder / "log",
            send_signal(case),
        )
        faults = judge(case, outcome, self.untouched, self.before)
        self.seconds.append(outcome.seconds)
        counted = self.counts.setdefault(kind, Counter())
        counted["faulty" if faults else f"code {outcome.code}"] += 1
        if not faults and outcome.code == 2:
            self.messages.setdefault(kind, set()).add(signature(said(outcome)))
        for fault in faults:
            self._keep(signature(fault), fault, kind, number, outcome.stderr)
        return faults

    def _keep(self, signature: str, fault: str, kind: str, number: int, stderr: str) -> None:
        """Keep the first cases of a fault, as they were before they were run."""
        from soak.fuzzing.kinds import make_case

        cases = self.faults.setdefault(signature, [])
        cases.append(f"{kind}:{number}")
        if len(cases) > KEPT_OF_A_FAULT:
            return
        folder = self.workdir / "failures" / f"{kind}-{number}".replace(" ", "-")
        if not folder.exists():
            case = make_case(kind, number, self.seed, folder, self.base)
            command = shlex.join(["python", str(REPO / "train_xpt.py"), *case.arguments()])
            (folder / "command.txt").write_text(
                f"cd {folder / 'cwd'} && {command}\n", encoding="utf-8", errors="surrogateescape"
            )
            (folder / "what.txt").write_text(f"{case.what}\n", encoding="utf-8", errors="backslashreplace")
            (folder / "stderr.txt").write_text(stderr, encoding="utf-8", errors="backslashreplace")
        with open(folder / "faults.txt", "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(fault + "\n")

    def report(self) -> str:
        """A table of kinds and outcomes, and each fault with its cases."""
        columns = sorted({outcome for counted in self.counts.values() for outcome in counted})
        lines = [f"{'kind':20}" + "".join(f"{column:>10}" for column in columns) + f"{'messages':>10}"]
        for kind, counted in self.counts.items():
            row = "".join(f"{counted[column]:>10}" for column in columns)
            lines.append(f"{kind:20}{row}{len(self.messages.get(kind, ())):>10}")
        for fault, cases in sorted(self.faults.items(), key=lambda pair: -len(pair[1])):
            lines.append(f"\n{len(cases)} x {fault}\n    {', '.join(cases[:KEPT_OF_A_FAULT])}")
        return "\n".join(lines)


def main() -> int:
    """Fuzz; gives back the exit code."""
    arguments = parse()
    shutil.rmtree(arguments.workdir, ignore_errors=True)
    places = sandbox_environment(arguments.workdir.resolve())
    from soak.fuzzing.kinds import KINDS

    fuzzer = Fuzzer(arguments.workdir.resolve(), arguments.seed, places)
    if arguments.case:
        kind, number = arguments.case.rsplit(":", 1)
        fuzzer.run(kind, int(number))
        print((fuzzer.workdir / "case" / "log" / "stderr.txt").read_text(errors="replace"))
    else:
        kinds = arguments.kinds.split(",") if arguments.kinds else list(KINDS)
        began, done = time.monotonic(), 0
        while (
            done < arguments.cases if arguments.cases else time.monotonic() - began < 60 * arguments.minutes
        ):
            kind, number = kinds[done % len(kinds)], done // len(kinds)
            for fault in fuzzer.run(kind, number):
                print(f"{kind}:{number}: {fault[:300]}", flush=True)
            done += 1
    print(fuzzer.report())
    if arguments.output:
        _store(fuzzer, arguments)
    return 1 if fuzzer.faults else 0


def _store(fuzzer: Fuzzer, arguments: argparse.Namespace) -> None:
    from xpt.program.environment import describe_command, describe_hardware, describe_versions

    record = {
        "command": describe_command("tests/soak/fuzz.py", sys.argv[1:]),
        "seed": arguments.seed,
        "versions": describe_versions(),
        "hardware": describe_hardware(),
        "cases": len(fuzzer.seconds),
        "seconds": round(sum(fuzzer.seconds), 1),
        "slowest_case_seconds": max(fuzzer.seconds, default=0.0),
        "outcomes": {kind: dict(sorted(counted.items())) for kind, counted in fuzzer.counts.items()},
        "messages": {kind: sorted(found) for kind, found in fuzzer.messages.items()},
        "faults": fuzzer.faults,
    }
    arguments.output.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
