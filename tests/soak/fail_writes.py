"""Makes writes of a run fail, one after the other, and looks at what is left each time.

    LD_PRELOAD=write_faults.so python tests/soak/fail_writes.py save|run FOLDER FLAGS...

`save`: every write of one checkpoint fails in turn, until one save goes through; then the run goes on.
`run`: a random write of a whole run fails, and the next start goes on from there; twelve times.
Both must end equal to an undisturbed run, and print one JSON line of what they saw.
"""

import contextlib
import io
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny_runs import assert_equal_runs

from soak.write_faults import failing
from train_xpt import main
from xpt.program.errors import XPTError
from xpt.training.checkpoints import Checkpoints
from xpt.training.resumable import ResumableTrainer


def fail_every_write_of_a_save(flags: list[str], base: Path) -> dict:
    """ENOSPC at the first, second, ... write of the save after step 3 of phase 2."""
    folder, save, seen = base / "run", ResumableTrainer._save_checkpoint, {"failed": 0, "messages": set()}

    def save_with_faults(self, model, trial=None):
        if (self.stage, self.state.global_step) != ("phase2", 3):
            save(self, model, trial)
            return
        n = 1
        while True:
            with failing(folder, n) as writes:
                try:
                    save(self, model, trial)
                except XPTError as error:
                    seen["messages"].add(str(error).replace(str(folder), "RUN"))
                if writes() < n:
                    break
            seen["failed"] += 1
            assert Checkpoints(folder / "checkpoints", self.checkpoints.facts).newest("phase2") in (2, 3)
            n += 1

    ResumableTrainer._save_checkpoint = save_with_faults
    assert main([*flags, "--output_dir", str(folder)]) == 0
    ResumableTrainer._save_checkpoint = save
    assert main([*flags, "--output_dir", str(base / "whole")]) == 0
    assert_equal_runs(base / "whole", folder)
    return {"failed": seen["failed"], "messages": sorted(seen["messages"])}


def fail_random_writes_of_a_run(flags: list[str], base: Path, count: int = 12) -> dict:
    """ENOSPC at a random write of a run; then the same command is started again and must end equal."""
    with failing(base / "counted", 0) as writes:
        assert main([*flags, "--output_dir", str(base / "counted")]) == 0
        total = writes()
    messages = []
    for n in random.Random(1).sample(range(1, total + 1), count):
        folder = base / f"run-{n}"
        with failing(folder, n), contextlib.redirect_stderr(io.StringIO()) as said:
            code = main([*flags, "--output_dir", str(folder)])
        assert code == 2, f"write {n} of {total}: {said.getvalue()}"
        messages += said.getvalue().strip().splitlines()[-1:]
        assert main([*flags, "--output_dir", str(folder)]) == 0
        assert_equal_runs(base / "counted", folder)
        left = [file.name for file in folder.rglob(".*") if file.name != ".lock"]
        assert not left, f"write {n} of {total}: left {left}"
    return {"writes": total, "messages": messages}


if __name__ == "__main__":
    kind, base, *given = sys.argv[1:]
    tried = {"save": fail_every_write_of_a_save, "run": fail_random_writes_of_a_run}[kind](given, Path(base))
    print(json.dumps(tried))
