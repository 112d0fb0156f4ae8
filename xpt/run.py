"""The run folder: what was asked, what was reached, and whether a new start goes on, is done, or is refused.

run.json        settings and fingerprints of source, text and tokenizer; written first
progress.json   results of each finished stage
log.jsonl       every logged step
checkpoints/    `initial` (step 0) and each phase's
results.json    everything; written last, so its presence means that the run is finished
"""

import fnmatch
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt import checkpoint as store
from xpt.errors import XPTError
from xpt.files import write_json_atomically
from xpt.phases import Phase
from xpt.precision import has_fast_bf16

# Settings that cannot change the weights or the results; all others must stay the same in one run folder.
FREE_SETTINGS = (
    *("output_dir", "cache_dir", "logging_*", "log_*", "disable_tqdm", "report_to", "run_name", "project"),
    *("trackio_*", "save_*", "restore_callback_states_from_checkpoint", "enable_jit_checkpoint"),
    *("dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_pin_memory", "dataloader_in_order"),
    *("dataloader_persistent_workers", "dataloader_multiprocessing_context", "skip_memory_metrics"),
    *("push_to_hub", "hub_*", "ddp_backend", "ddp_timeout", "local_rank", "do_*", "eval_*", "debug"),
    *("per_device_eval_batch_size", "prediction_loss_only", "include_*", "preset", "attribution"),
)
# What follows from the machine; a finished run is shown on any.
HARDWARE_SETTINGS = ("bf16", "use_cpu", "world_size", "n_gpu")


@dataclass
class Run:
    """One run folder. Only the main process writes (`writes`)."""

    folder: Path
    writes: bool = True

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

    def phase_folder(self, phase: Phase) -> Path:
        """Where the checkpoints of one phase stand."""
        return self.folder / "checkpoints" / phase.name

    # ---- starting ----------------------------------------------------------------------------------------

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Refuse a folder that holds something else, or this run with other settings. Writes nothing."""
        stored = self._stored()
        if stored is None:
            if self.folder.exists() and (not self.folder.is_dir() or self._holds_something()):
                raise XPTError(f"{self.folder} is not empty and holds no run; give another --output_dir")
            return
        before, now = stored["settings"], _result_settings(settings)
        if self.finished:
            now = {name: value for name, value in now.items() if name not in HARDWARE_SETTINGS}
        elif before.get("bf16") and not has_fast_bf16(settings.get("use_cpu", False)):
            raise XPTError(
                f"{self.folder} holds a run in bf16, and this hardware has no bfloat16 arithmetic; "
                "go on where there is, or give another --output_dir"
            )
        _refuse_changes(self.folder, before, now)

    def _holds_something(self) -> bool:
        """Whether there is more than what a first start killed while writing leaves."""
        return any(".staging" not in path.name for path in self.folder.iterdir())

    def start(self, settings: dict[str, Any], fingerprints: dict[str, str]) -> None:
        """Write down what this run is, or check that source, text and tokenizer are still the same."""
        stored = self._stored()
        if stored is not None:
            _refuse_changes(self.folder, stored["fingerprints"], fingerprints)
        elif self.writes:
            record = {"settings": _result_settings(settings), "fingerprints": fingerprints}
            write_json_atomically(self.folder / "run.json", record)
        if self.writes:
            for leftover in self.folder.glob("**/.*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                elif ".staging" in leftover.name:
                    leftover.unlink()

    def _stored(self) -> dict[str, Any] | None:
        file = self.folder / "run.json"
        if not file.exists():
            return None
        try:
            return store.read_json(file)
        except json.JSONDecodeError as error:
            raise XPTError(f"{file} is damaged ({error}); give another --output_dir") from error

    @property
    def finished(self) -> bool:
        return self.results_file.exists()

    def results(self) -> dict[str, Any]:
        """The results of a finished run."""
        return store.read_json(self.results_file)

    # ---- what was reached --------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """Results of the stages that are finished, by name."""
        file = self.folder / "progress.json"
        return store.read_json(file) if file.exists() else {}

    def record(self, stage: str, result: dict[str, Any]) -> None:
        """Keep the result of a finished stage."""
        if self.writes:
            write_json_atomically(self.folder / "progress.json", {**self.progress(), stage: result})

    def log(self, entry: dict[str, Any]) -> None:
        """Append one logged step."""
        if self.writes:
            with open(self.log_file, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """All logged steps. A line cut short by a crash is left out."""
        entries = []
        for line in self.log_file.read_text(encoding="utf-8").splitlines() if self.log_file.exists() else ():
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return entries

    def rewind_log(self, phase: Phase, step: int) -> None:
        """Drop what was logged after `step` of `phase`: those steps are about to be run again."""
        if not self.writes or not self.log_file.exists():
            return
        kept = []
        for entry in self.read_log():
            if entry["phase"] == phase.name and entry["step"] > step:
                continue
            kept.append(json.dumps(entry) + "\n")
        staging = self.log_file.with_suffix(".staging")
        staging.write_text("".join(kept), encoding="utf-8")
        staging.replace(self.log_file)

    def finish(self, results: dict[str, Any]) -> None:
        """Write the results, which ends the run, and keep only the models of its checkpoints."""
        if not self.writes:
            return
        for phase in (self.folder / "checkpoints").iterdir():
            found = store.checkpoints(phase)
            for old in found[:-1]:
                shutil.rmtree(old)
            for last in found[-1:]:  # a phase that is done needs its weights alone
                store.remove_training_state(last)
        write_json_atomically(self.results_file, results)


def _result_settings(settings: dict[str, Any]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in settings.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in FREE_SETTINGS)
    }
    return json.loads(json.dumps(kept, default=str))


def _refuse_changes(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    # A newer transformers may know more settings; those both know must agree.
    changed = [name for name in before if name in now and before[name] != now[name]]
    if changed:
        listed = ", ".join(f"{name} ({before[name]} -> {now[name]})" for name in changed)
        raise XPTError(f"{folder} holds a run with other settings: {listed}; give another --output_dir")
