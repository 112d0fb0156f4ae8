"""When to kill a run: moments of its life, seen from the files it leaves; nothing in it knows of them."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Folders:
    """The run's folder and the cache of its prepared text, as they change since `begin`."""

    run: Path
    cache: Path
    _before: set[Path] = field(default_factory=set)
    _began: float = 0.0

    def begin(self) -> None:
        """What is there now was left by earlier starts."""
        self._before = {path for folder in (self.run, self.cache) for path in folder.rglob("*")}
        self._began = time.time()

    def _new(self, folder: Path, pattern: str) -> Iterator[Path]:
        return (path for path in folder.glob(pattern) if path not in self._before)

    def exists(self, pattern: str) -> bool:
        """Whether something new stands in the run's folder under that pattern."""
        return any(self._new(self.run, pattern))

    def cached(self, pattern: str) -> bool:
        """The same for the cache."""
        return any(self._new(self.cache, pattern))

    def unlisted(self, phase: str) -> bool:
        """Whether a new checkpoint stands that the pointer does not list yet."""
        try:
            listed = (self.run / "checkpoints" / "latest.json").read_text()
        except OSError:
            listed = ""
        return any(
            f'"step": {path.name.removeprefix("checkpoint-")}' not in listed
            for path in self._new(self.run, f"checkpoints/{phase}/checkpoint-*")
        )

    def last_logged(self) -> dict:
        """The last whole line of the log, where it is new."""
        log = self.run / "log.jsonl"
        try:
            new = log.stat().st_mtime > self._began
            return json.loads(log.read_text().splitlines()[-1]) if new else {}
        except (OSError, IndexError, ValueError):
            return {}


@dataclass(frozen=True)
class Moment:
    """A name, how it is recognized, and up to how many seconds later the kill comes."""

    name: str
    has_come: Callable[[Folders], bool]
    within: float = 0.01


def _logged(phase: str, every: int) -> Callable[[Folders], bool]:
    def has_come(folders: Folders) -> bool:
        entry = folders.last_logged()
        return entry.get("phase") == phase and "loss" in entry and entry["step"] % every == 0

    return has_come


def moments(steps: int, eval_steps: int) -> list[Moment]:
    """In the order of a run whose two phases have `steps` steps each."""
    found = [
        Moment("corpus building", lambda f: f.cached("corpus/.corpus-*")),
        Moment("tokenizer training", lambda f: f.cached("corpus/corpus-*"), within=0.2),
        Moment("encoding", lambda f: f.cached("ids/.*"), within=0.005),
        Moment("run.json written", lambda f: f.exists("run.json"), within=0.002),
        Moment("saving step 0", lambda f: f.exists("checkpoints/.initial*")),
        Moment("evaluating step 0", lambda f: f.exists("checkpoints/initial"), within=0.1),
    ]
    for phase in ("phase1", "phase2"):
        found += [
            Moment(f"{phase}: training", lambda f, p=phase: f.last_logged().get("phase") == p, within=0.3),
            Moment(f"{phase}: saving", lambda f, p=phase: f.exists(f"checkpoints/{p}/.checkpoint-*")),
            Moment(f"{phase}: saved, not listed", lambda f, p=phase: f.unlisted(p), within=0.0),
            Moment(
                f"{phase}: dropping an old one", lambda f, p=phase: f.exists(f"checkpoints/{p}/.*removed*")
            ),
            Moment(f"{phase}: evaluating", _logged(phase, eval_steps), within=0.02),
            Moment(
                "phase change" if phase == "phase1" else "evaluating the test split",
                lambda f, p=phase: f.exists(f"checkpoints/{p}/checkpoint-{steps}"),
                within=0.1,
            ),
        ]
    return [
        *found,
        Moment("writing the model and the card", lambda f: f.exists(".files*"), within=0.05),
        Moment("tidying", lambda f: f.exists("results.json"), within=0.01),
    ]
