"""What a case must not have done, whatever it was given; each fault as one line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from soak.fuzzing.case import Case
from soak.sandbox import Outcome
from xpt.program.files import STAGING

ENDS = (0, 2, 130, 143)
_TRACEBACK = "Traceback (most recent call last)"
Listing = dict[str, tuple[int, int]]


def listing(folder: Path) -> Listing:
    """Every file below a folder with its size and modification time in ns."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }


def judge(case: Case, outcome: Outcome, untouched: dict[str, Path], before: dict[str, Listing]) -> list[str]:
    """Everything that is wrong with how a case ended and with what it left."""
    return [
        *ending(outcome),
        *outcome.violations,
        *_changed(untouched, before),
        *_left_behind(case),
        *(_results(case) if outcome.code == 0 else ()),
    ]


def said(outcome: Outcome) -> str:
    """The last line of the error output."""
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def signature(fault: str) -> str:
    """A fault without what differs from case to case: paths, numbers, quoted text."""
    short = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", fault)
    short = re.sub(r"(?<![\w.])/[^\s:,;()]+", "PATH", short)
    return re.sub(r"\d[\d,.]*", "N", short)[:200]


def ending(outcome: Outcome) -> Iterator[str]:
    """Ends in time with a code that says what happened, and code 2 with one line."""
    if outcome.hung:
        yield f"hang, in {_innermost(outcome.stderr)}"
    elif outcome.code not in ENDS and _TRACEBACK not in outcome.stderr:
        yield f"ended with code {outcome.code}: {said(outcome)[:300]}"
    elif _TRACEBACK in outcome.stderr:
        yield f"traceback, code {outcome.code}: {said(outcome)[:300]} in {_innermost(outcome.stderr)}"
    if outcome.code == 2 and _TRACEBACK not in outcome.stderr:
        errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
        if len(errors) != 1 or errors[0] != said(outcome):
            yield f"{len(errors)} lines `error: ...`, and at the end: {said(outcome)[:300]}"
        elif len(errors[0]) < len("error: ") + 5:
            yield f"an error that says nothing: {errors[0]}"


def _innermost(stderr: str) -> str:
    """The last place of the project's own in a traceback."""
    frames = re.findall(r'File "[^"]*?((?:xpt/)?[\w/]+\.py)", line \d+,? in (\S+)', stderr)
    own = [f"{Path(file).name}:{name}" for file, name in frames if "site-packages" not in file]
    ours = [place for place in own if place.split(":")[0] in _OWN_FILES]
    return (ours or own or ["?"])[-1]


_REPO = Path(__file__).resolve().parents[3]
_OWN_FILES = {path.name for path in (*_REPO.glob("*.py"), *_REPO.glob("xpt/**/*.py"))} - {"__init__.py"}


def _changed(untouched: dict[str, Path], before: dict[str, Listing]) -> Iterator[str]:
    for name, folder in untouched.items():
        now = listing(folder)
        for path in sorted(set(now.items()) ^ set(before[name].items())):
            yield f"changed {name}/{path[0]}"
        before[name] = now  # each case answers for itself


def _left_behind(case: Case) -> Iterator[str]:
    for folder in (case.output, case.cache):
        for path in sorted(folder.rglob(f"*{STAGING}*")):
            yield f"left {path.relative_to(case.folder)}"
    if case.given_output is None and any((case.folder / "cwd").iterdir()):
        yield f"left {[path.name for path in (case.folder / 'cwd').iterdir()]} in the working folder"


def _results(case: Case) -> Iterator[str]:
    """Standard JSON, and the weights of the undisturbed run where nothing may have changed them."""
    results, weights = case.output / "results.json", case.output / "model.safetensors"
    if case.fresh and results.exists():
        try:
            json.loads(results.read_text("utf-8"), parse_constant=_refuse)
        except ValueError as error:
            yield f"results.json is no standard JSON: {error}"
    undisturbed = (case.base.whole / "model.safetensors").read_bytes()
    if case.same_weights and weights.exists() and weights.read_bytes() != undisturbed:
        yield "other weights than the undisturbed run"


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")
