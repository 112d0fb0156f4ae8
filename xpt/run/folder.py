"""The run folder: what was asked, what was reached, and whether a new start goes on, is done, or is refused.

run.json        settings and fingerprints of source, text and tokenizer; written first
progress.json   results of each finished stage
log.jsonl       every logged step
checkpoints/    `initial` (step 0) and each phase's
results.json    everything; written last, so its presence means that the run is finished

run.json and progress.json carry a hash of their content: a damaged one is refused or measured again, and
never believed.
"""

import fnmatch
import hashlib
import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from xpt.program.environment import describe_versions, peak_memory_mib
from xpt.program.errors import XPTError
from xpt.program.files import (
    STAGING,
    check_writable,
    read_record,
    remove_folder,
    remove_leftovers,
    write_json_atomically,
    write_record,
    write_text_atomically,
)
from xpt.program.formatting import wrap
from xpt.program.lock import LOCK_FILE, FolderLock
from xpt.program.precision import has_fast_bf16
from xpt.training.checkpoints import Checkpoints
from xpt.training.regrouping import GROUPING, regrouped

# Settings that cannot change the weights or the results; all others must stay the same in one run folder.
FREE_SETTINGS = (
    *("output_dir", "cache_dir", "logging_*", "log_*", "disable_tqdm", "report_to", "run_name", "project"),
    *("trackio_*", "save_*", "restore_callback_states_from_checkpoint", "enable_jit_checkpoint"),
    *("dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_pin_memory", "dataloader_in_order"),
    *("dataloader_persistent_workers", "dataloader_multiprocessing_context", "skip_memory_metrics"),
    *("push_to_hub", "hub_*", "ddp_backend", "ddp_timeout", "local_rank", "do_*", "eval_*", "debug"),
    *("per_device_eval_batch_size", "prediction_loss_only", "include_*", "attribution", "dry_run"),
    *("model_license", "preprocessing_num_workers", "shard_cache_gb"),
)
# What follows from the machine; a finished run is shown on any.
HARDWARE_SETTINGS = ("bf16", "use_cpu", "world_size", "n_gpu")


@dataclass
class Run:
    """One run folder. Only the main process writes (`writes`), one run at a time: `close` frees it.

    What was reached can be read whether it is closed or not: `results()`, `read_log()`, `progress()`.

    Args:
        folder: of one run of post-training or fine-tuning, there or not.
        writes: whether this process is the one that writes.
        keeps_checkpoints: whether a finished run keeps the weights of its checkpoints.
        regroups: whether it goes on in other processes or micro-batches of the same global batch.

    Raises:
        XPTError: by its methods, for a folder that holds something else, is damaged, or is in use.

    Example:
        >>> run = xpt.Run("output/mine")
        >>> run.finished, sorted(run.results()["test"])
        (True, ['loss', 'masked_tokens', 'perplexity'])
        >>> sorted({entry["phase"] for entry in run.read_log()})
        ['phase1', 'phase2']
    """

    folder: Path
    writes: bool = True
    keeps_checkpoints: bool = True
    regroups: bool = False
    _lock: FolderLock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._lock = FolderLock(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes use the folder."""
        self._lock.release()

    # ---- its files ---------------------------------------------------------------------------------------

    @property
    def results_file(self) -> Path:
        return self.folder / "results.json"

    @property
    def log_file(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def initial(self) -> Path:
        """The model at step 0."""
        return self.folder / "checkpoints" / "initial"

    def stage_folder(self, stage: str) -> Path:
        """Where the checkpoints of one stage of training stand."""
        return self.folder / "checkpoints" / stage

    def kept(self, step: int) -> Path:
        """Where the model after so many steps of the run is kept, all phases counted together."""
        return self.folder / "checkpoints" / "kept" / f"step-{step}"

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints. Other processes than the writing one may come before the record and do without."""
        stored = self._stored() or {"settings": None, "fingerprints": None}
        text = json.dumps(stored["settings"], sort_keys=True)
        facts = {
            "settings": hashlib.sha256(text.encode()).hexdigest(),
            "fingerprints": stored["fingerprints"],
            "versions": describe_versions(),
        }
        return Checkpoints(self.folder / "checkpoints", facts)

    # ---- starting ----------------------------------------------------------------------------------------

    def check_settings(self, settings: dict[str, Any], chosen: Collection[str] = ()) -> None:
        """Refuse a folder that holds something else, another run, or this run with other settings.

        Writes nothing but, in the folder of an unfinished run, the lock.

        Args:
            settings: all of them, by name.
            chosen: those that are not the default's. A run that older code began does not have every setting,
                and went by the defaults of what came later.
        """
        stored = self._stored()
        if stored is None:
            if self.folder.exists() and (not self.folder.is_dir() or self._holds_something()):
                raise XPTError(f"{self.folder} is not empty and holds no run; give another --output_dir")
            if self.writes:
                check_writable(self.folder, "--output_dir")
            return
        before, now = stored["settings"], result_settings(settings)
        said = regrouped(before, now) if self.regroups else None
        if said:
            now = {name: value for name, value in now.items() if name not in GROUPING}
        if self.finished:
            now = {name: value for name, value in now.items() if name not in HARDWARE_SETTINGS}
        elif before.get("bf16") and not has_fast_bf16(settings.get("use_cpu", False)):
            raise XPTError(
                f"{self.folder} holds a run in bf16, and this hardware has no bfloat16 arithmetic; "
                "go on where there is, or give another --output_dir"
            )
        _refuse_changes(self.folder, before, now, chosen)
        if self.writes and not self.finished:
            check_writable(self.folder, "--output_dir")
            self._lock.acquire()
            if said:
                print(wrap(said, "  ", ""), flush=True)

    def _holds_something(self) -> bool:
        """Whether there is more than what a first start killed while writing leaves."""
        return any(STAGING not in path.name and path.name != LOCK_FILE for path in self.folder.iterdir())

    def start(self, settings: dict[str, Any], fingerprints: dict[str, str]) -> None:
        """Write down what this run is, or check that source, text and tokenizer are still the same."""
        if self.writes:
            self._lock.acquire()
        stored = self._stored()
        if stored is not None:
            _refuse_changes(self.folder, stored["fingerprints"], fingerprints)
        elif self.writes:
            record = {"settings": result_settings(settings), "fingerprints": fingerprints}
            write_record(self.folder / "run.json", record)
        if self.writes:
            remove_leftovers(self.folder)
            self.checkpoints.drop_unlisted()

    def _stored(self) -> dict[str, Any] | None:
        file = self.folder / "run.json"
        try:
            stored = read_record(file)
            if not isinstance(stored, dict) or not {"settings", "fingerprints"} <= set(stored):
                raise ValueError("it is another file's record")
            return stored
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise XPTError(f"{file} is damaged ({error}); give another --output_dir") from error

    @property
    def finished(self) -> bool:
        """Whether it has results, which are written last."""
        return self.results_file.exists()

    def results(self) -> dict[str, Any]:
        """The results of a finished run. Raises `XPTError` where they cannot be read."""
        try:
            results = json.loads(self.results_file.read_bytes().decode("utf-8"))
            if not isinstance(results, dict):
                raise ValueError("it holds no results")
            return results
        except ValueError as error:
            raise self.damaged_results(str(error)) from error

    def damaged_results(self, reason: str) -> XPTError:
        """What to say of results that nobody wrote so."""
        return XPTError(
            f"{self.results_file} is damaged ({reason}); delete it, and the same command measures again"
        )

    # ---- what was reached --------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """Results of the stages that are finished, by name; none where the record is damaged."""
        file = self.folder / "progress.json"
        try:
            stages = read_record(file)
            if not isinstance(stages, dict):
                raise ValueError("it is another file's record")
            return stages
        except FileNotFoundError:
            return {}
        except ValueError as error:
            if self.writes:
                print(f"{file} is damaged ({error}); its stages are measured again", file=sys.stderr)
            return {}

    def record(self, stage: str, result: dict[str, Any]) -> None:
        """Keep the result of a finished stage."""
        if self.writes:
            write_record(self.folder / "progress.json", {**self.progress(), stage: result})

    def log(self, entry: dict[str, Any]) -> None:
        """Append one logged step; what is no number is null, as JSON has no word for it."""
        if self.writes:
            entry = {key: None if value != value else value for key, value in entry.items()}
            with open(self.log_file, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """All logged steps. A line that a crash cut short, or that is none of ours, is left out."""
        entries = []
        lines = self.log_file.read_bytes().splitlines() if self.log_file.exists() else ()
        for line in lines:
            try:
                entry = json.loads(line.decode("utf-8"))
            except ValueError:
                continue
            if _is_log_entry(entry):
                entries.append(entry)
        return entries

    def peak_memory_mib(self) -> dict[str, int]:
        """Peak memory of this process, or what an earlier start of the run has logged, if that is more."""
        peak = peak_memory_mib()
        logged = (entry.get("resident_mib") or 0 for entry in self.read_log())
        return {**peak, "cpu": max(peak["cpu"], *logged, 0)}

    def rewind_log(self, stage: str, step: int) -> None:
        """Drop what was logged after `step` of a stage: those steps are about to be run again."""
        if not self.writes or not self.log_file.exists():
            return
        kept = []
        for entry in self.read_log():
            if entry["phase"] == stage and entry["step"] > step:
                continue
            kept.append(json.dumps(entry) + "\n")
        write_text_atomically(self.log_file, "".join(kept))

    def finish(self, results: dict[str, Any]) -> None:
        """Write the results, which ends the run, and keep of its checkpoints at most the models."""
        if self.writes:
            write_json_atomically(self.results_file, results)
            self.tidy()

    def tidy(self) -> None:
        """Leave of a finished run's checkpoints what is kept; again where a start was killed in doing so."""
        if not self.writes or not self.checkpoints.pointer.exists():
            return
        self._lock.acquire()
        remove_leftovers(self.folder)
        if self.keeps_checkpoints:
            self.checkpoints.tidy()
        else:
            remove_folder(self.checkpoints.folder)


def _is_log_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("phase"), str)
        and isinstance(entry.get("step"), int)
        and all(
            value is None or isinstance(value, int | float) for key, value in entry.items() if key != "phase"
        )
    )


def result_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Of all settings those that can change the weights or the results."""
    kept = {
        name: value
        for name, value in settings.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in FREE_SETTINGS)
    }
    return json.loads(json.dumps(kept, default=str))


def _refuse_changes(
    folder: Path, before: dict[str, Any], now: dict[str, Any], chosen: Collection[str] = ()
) -> None:
    # A newer transformers may know more settings; those both know must agree.
    changed = [name for name in before if name in now and before[name] != now[name]]
    changed += [name for name in now if name not in before and name in chosen]
    if changed:
        listed = ", ".join(f"{name} ({before.get(name, 'default')} -> {now[name]})" for name in changed)
        raise XPTError(f"{folder} holds a run with other settings: {listed}; give another --output_dir")
