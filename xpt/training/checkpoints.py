"""The checkpoints of a run: written whole, listed last, verified before they are believed.

    checkpoints/<phase>/checkpoint-<step>/   model, tokenizer, training state and `manifest.json`
    checkpoints/latest.json                  the pointer: what stands, with hashes of the manifests

A save writes and flushes a hidden folder with its manifest, renames it into place and replaces the pointer
last; what is not in the pointer does not count. Without a readable pointer every checkpoint is looked at.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from xpt.program.errors import XPTError
from xpt.program.files import free_bytes, read_record, remove_folder, write_folder_atomically, write_record
from xpt.program.formatting import short_size
from xpt.program.manifest import (
    MANIFEST,
    DamagedError,
    file_sha256,
    set_aside_damaged,
    verify,
    write_manifest,
)
from xpt.training.training_state import TRAINING_FILES, remove_training_state

POINTER = "latest.json"
KEPT = 2  # at least: one may turn out damaged
_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Saved:
    """One checkpoint that the pointer lists."""

    phase: str
    step: int
    manifest_sha256: str


class Checkpoints:
    """All checkpoints of one run.

    Args:
        folder: where they stand.
        facts: what each manifest says of the run: hash of the settings, fingerprints of source, text and
            tokenizer, versions. A checkpoint with other `settings` or `fingerprints` is of another run.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]):
        self.folder, self.facts = folder, facts
        self._verified: set[Saved] = set()

    @cached_property
    def _listed(self) -> list[Saved]:
        try:
            return [Saved(**entry) for entry in read_record(self.pointer)]
        except FileNotFoundError:
            return self._scan()
        except (OSError, ValueError, TypeError) as error:
            print(f"{self.pointer} is damaged: {error}; looking at every checkpoint", file=sys.stderr)
            return self._scan()

    @property
    def pointer(self) -> Path:
        """The file that lists them."""
        return self.folder / POINTER

    def path(self, phase: str, step: int) -> Path:
        """Where the checkpoint after `step` optimizer steps of `phase` stands."""
        return self.folder / phase / f"checkpoint-{step}"

    def listed(self, phase: str) -> list[int]:
        """Steps of the checkpoints of a phase that stand, oldest first."""
        return sorted(saved.step for saved in self._listed if saved.phase == phase)

    def newest(self, phase: str) -> int | None:
        """The step of the newest checkpoint of `phase` that verifies.

        A damaged one is named, left where it is and not looked at again.
        """
        for step in reversed(self.listed(phase)):
            saved = next(one for one in self._listed if (one.phase, one.step) == (phase, step))
            if saved in self._verified:
                return step
            try:
                self._verify(saved)
            except DamagedError as damage:
                print(f"{self.path(phase, step)} is damaged: {damage}; using the one before", file=sys.stderr)
                self._listed.remove(saved)
                continue
            self._verified.add(saved)
            return step
        return None

    def save(
        self, phase: str, step: int, write: Callable[[Path], None], keep: int | None, expected_bytes: int
    ) -> None:
        """Let `write` fill a new checkpoint, list it, and drop what `keep` in this phase leaves no place for.

        Raises `XPTError` where it cannot be written; what was saved before stands then.
        """
        if step in self.listed(phase):
            return
        path = self.path(phase, step)
        with self.reporting(path):
            self.require_space(expected_bytes, 1)
            set_aside_damaged(path)
            if path.exists():  # a process was killed between renaming it into place and listing it
                remove_folder(path)
            with write_folder_atomically(path) as staging:
                write(staging)
                sha256 = write_manifest(staging, {**self.facts, "phase": phase, "step": step})
            saved = Saved(phase, step, sha256)
            stale = self._superseded(saved, keep)
            self._list([*(one for one in self._listed if one not in stale), saved])
            self._verified.add(saved)
            for one in stale:
                remove_folder(self.path(one.phase, one.step))

    @contextmanager
    def reporting(self, path: Path) -> Iterator[None]:
        """Turn a failure to write `path` into an `XPTError` that says from where the run goes on."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise XPTError(f"{path} cannot be written ({reason}); {self.way_on()}") from error

    def drop_unlisted(self) -> None:
        """Delete whole checkpoints of this run that a killed process had dropped or not yet listed."""
        for saved in self._scan():
            if saved.step in self.listed(saved.phase):
                continue
            with suppress(DamagedError):
                self._verify(saved)
                remove_folder(self.path(saved.phase, saved.step))

    def way_on(self) -> str:
        """How to go on after a failure, and from where."""
        if not self._listed:
            return "fix that and start again, or give another --output_dir"
        last = self._listed[-1]
        return f"fix that, and the same command goes on from step {last.step} of {last.phase}"

    def size(self, phase: str, step: int) -> int:
        """Bytes of a checkpoint that stands."""
        return sum(file.stat().st_size for file in self.path(phase, step).rglob("*") if file.is_file())

    def require_space(self, checkpoint_bytes: int, checkpoints: int, others: int = 0) -> None:
        """Raise `XPTError` unless the disk has space for so many checkpoints more and `others` bytes."""
        needed, free = checkpoints * checkpoint_bytes + others, free_bytes(self.folder)
        if free < needed:
            what = (
                "the next checkpoint needs"
                if checkpoints == 1
                else f"the next {checkpoints} checkpoints need"
            )
            raise XPTError(
                f"{self.folder}: the disk has {short_size(free)} left, and {what} {short_size(needed)}; "
                f"{self.way_on()}"
            )

    def tidy(self) -> None:
        """Leave of a finished run the weights that each phase ended with; they need no pointer.

        Killed in between, it is done again: the manifest forgets the training state before that goes, so the
        pointer's hash of it does not hold any more.
        """
        for phase in {saved.phase for saved in self._listed}:
            *older, last = self.listed(phase)
            for step in older:
                remove_folder(self.path(phase, step))
            final = self.path(phase, last)
            with suppress(DamagedError):
                verify(final)
                write_manifest(final, {**self.facts, "phase": phase, "step": last}, without=TRAINING_FILES)
                remove_training_state(final)
        self.pointer.unlink()

    # ---- inside ------------------------------------------------------------------------------------------

    def _scan(self) -> list[Saved]:
        found = []
        for path in self.folder.glob("*/checkpoint-*"):
            match, manifest = _NAME.fullmatch(path.name), path / MANIFEST
            if match and manifest.is_file():
                saved = Saved(path.parent.name, int(match[1]), file_sha256(manifest))
                found.append((manifest.stat().st_mtime_ns, saved))
        return [saved for _, saved in sorted(found, key=lambda pair: (pair[0], pair[1].step))]

    def _verify(self, saved: Saved) -> None:
        manifest = verify(self.path(saved.phase, saved.step), saved.manifest_sha256)
        if (manifest.get("phase"), manifest.get("step")) != (saved.phase, saved.step):
            raise DamagedError(f"{MANIFEST} is that of another checkpoint")
        for fact in ("settings", "fingerprints"):
            if manifest.get(fact) != self.facts[fact]:
                raise DamagedError(f"{MANIFEST} has other {fact}: it is of another run")

    def _list(self, entries: Sequence[Saved]) -> None:
        write_record(self.pointer, [asdict(saved) for saved in entries])
        self._listed = list(entries)

    def _superseded(self, new: Saved, keep: int | None) -> list[Saved]:
        """What goes when `new` stands: older ones of its phase and, once it has two, of the phases before."""
        if not keep:
            return []
        steps = self.listed(new.phase)
        old = steps[: max(0, len(steps) + 1 - max(keep, KEPT))]
        stale = [one for one in self._listed if one.phase == new.phase and one.step in old]
        if len(steps) + 1 - len(old) >= KEPT:
            stale += [
                one
                for one in self._listed
                if one.phase != new.phase and one.step != self.listed(one.phase)[-1]
            ]
        return stale
