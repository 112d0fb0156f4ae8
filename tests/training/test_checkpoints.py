"""Checkpoints that cannot lie: what is damaged is named and not used, and the run ends as if whole."""

import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_runs import assert_equal_runs, run, stop_after, weights

from train_xpt import main
from xpt.program.errors import XPTError
from xpt.program.files import read_record
from xpt.program.manifest import MANIFEST, DamagedError, verify, write_manifest
from xpt.run.progress import PhaseProgress
from xpt.training.checkpoints import Checkpoints, Saved

FACTS = {"settings": "s", "fingerprints": {"corpus": "c"}, "versions": {}}


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: max(0, file.stat().st_size // 2)])


def one_bit_flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)


def deleted(file: Path) -> None:
    file.unlink()


def emptied(file: Path) -> None:
    file.write_bytes(b"")


FAULTS = (truncated, one_bit_flipped, deleted, emptied)
SLOW = [pytest.param(fault, marks=pytest.mark.slow) for fault in (truncated, deleted, emptied)]


@pytest.fixture(scope="module")
def short(options):
    """Flags of a run that saves after each of its 2 + 4 steps."""
    return options(phase1_steps=2, phase2_steps=4, save_steps=1, logging_steps=1)


@pytest.fixture(scope="module")
def stopped(short, tmp_path_factory):
    """That run, ended by SIGTERM after step 3 of phase 2, and the same undisturbed."""
    base = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, ("phase2", 3))
        assert main([*short, "--output_dir", str(base / "stopped")]) == 143
    return base / "stopped", run(short, base / "whole")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(
    ("fault", "damaged_files"),
    [
        (one_bit_flipped, ["optimizer.safetensors"]),
        *(pytest.param(fault, None, marks=pytest.mark.slow) for fault in FAULTS),
    ],
)
def test_damage_to_any_file_of_the_newest_checkpoint_is_named_and_the_one_before_used(
    stopped, short, tmp_path, capsys, fault, damaged_files
):
    interrupted, whole = stopped
    files = names(interrupted / "checkpoints" / "phase2" / "checkpoint-3")
    assert {"model.safetensors", "optimizer.safetensors", "optimizer.json", MANIFEST} <= set(files)
    for name in damaged_files or files:
        folder = tmp_path / name.replace(".", "-")
        shutil.copytree(interrupted, folder)
        newest = folder / "checkpoints" / "phase2" / "checkpoint-3"
        fault(newest / name)
        damaged = {file.name: file.read_bytes() for file in newest.iterdir()}
        resumed = []
        with pytest.MonkeyPatch.context() as patch:
            begin = PhaseProgress.on_train_begin

            def note(self, args, state, control, begin=begin, resumed=resumed, **kwargs):
                resumed.append((self.phase, state.global_step))
                begin(self, args, state, control, **kwargs)

            patch.setattr(PhaseProgress, "on_train_begin", note)
            assert main([*short, "--output_dir", str(folder)]) == 0
        said = capsys.readouterr().err
        assert f"{newest} is damaged: {name} " in said, said
        assert resumed == [("phase2", 2)]
        assert_equal_runs(folder, whole)
        aside = newest.with_name("checkpoint-3.damaged-1")
        assert {file.name: file.read_bytes() for file in aside.iterdir()} == damaged
        shutil.rmtree(folder)


@pytest.mark.parametrize("fault", [one_bit_flipped, *SLOW])
@pytest.mark.parametrize(
    "file",
    [
        "checkpoints/latest.json",
        "checkpoints/initial/model.safetensors",
        "checkpoints/initial/manifest.json",
        "progress.json",
        "log.jsonl",
    ],
)
def test_damage_beside_the_checkpoints_changes_no_weight(stopped, short, tmp_path, capsys, fault, file):
    interrupted, whole = stopped
    folder = tmp_path / "run"
    shutil.copytree(interrupted, folder)
    fault(folder / file)
    assert main([*short, "--output_dir", str(folder)]) == 0
    said = capsys.readouterr().err
    if file == "log.jsonl":
        assert all(tensor.equal(weights(whole)[name]) for name, tensor in weights(folder).items())
        return
    if fault is not deleted or "initial" in file:
        named = folder / file if file.count("/") < 2 else (folder / file).parent
        assert f"{named} is damaged" in said
    assert_equal_runs(folder, whole)


@pytest.mark.parametrize("fault", [truncated, one_bit_flipped, emptied])
def test_a_damaged_record_of_the_run_or_its_results_is_refused_by_name(
    stopped, short, tmp_path, capsys, fault
):
    interrupted, whole = stopped
    damaged = [(interrupted, "run.json")]
    if (
        fault is not one_bit_flipped
    ):  # results are there to be read, and edited; nothing is computed from them
        damaged.append((whole, "results.json"))
    for source, file in damaged:
        folder = tmp_path / source.name
        shutil.copytree(source, folder)
        fault(folder / file)
        assert main([*short, "--output_dir", str(folder)]) == 2
        assert f"error: {folder / file} is damaged" in capsys.readouterr().err


def test_without_any_checkpoint_the_run_starts_its_phase_again(stopped, short, tmp_path, capsys):
    interrupted, whole = stopped
    folder = tmp_path / "run"
    shutil.copytree(interrupted, folder)
    for phase in ("phase1", "phase2"):
        for checkpoint in (folder / "checkpoints" / phase).iterdir():
            emptied(checkpoint / "model.safetensors")
    assert main([*short, "--output_dir", str(folder)]) == 0
    assert capsys.readouterr().err.count("is damaged: model.safetensors has 0 bytes") >= 3
    assert_equal_runs(folder, whole)


# ---- the store by itself ---------------------------------------------------------------------------------


def fill(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")


def save(store: Checkpoints, phase: str, step: int, keep: int | None = 2) -> None:
    store.save(phase, step, fill, keep, expected_bytes=1)


def standing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*") if path.is_dir())


def test_two_stand_at_least_and_of_earlier_phases_the_last(tmp_path):
    store = Checkpoints(tmp_path, FACTS)
    for step in (1, 2, 3):
        save(store, "a", step, keep=1)
    assert standing(tmp_path) == ["a/checkpoint-2", "a/checkpoint-3"]
    save(store, "b", 1)
    assert standing(tmp_path) == ["a/checkpoint-2", "a/checkpoint-3", "b/checkpoint-1"]
    save(store, "b", 2)
    assert standing(tmp_path) == ["a/checkpoint-3", "b/checkpoint-1", "b/checkpoint-2"]
    again = Checkpoints(tmp_path, FACTS)
    assert (again.newest("a"), again.newest("b"), again.newest("c")) == (3, 2, None)


def test_without_a_limit_all_stand(tmp_path):
    store = Checkpoints(tmp_path, FACTS)
    for step in range(1, 6):
        save(store, "a", step, keep=None)
    assert store.listed("a") == [1, 2, 3, 4, 5]


def test_what_is_not_listed_does_not_count(tmp_path):
    store = Checkpoints(tmp_path, FACTS)
    save(store, "a", 1)
    pointer = store.pointer.read_bytes()
    save(store, "a", 2)
    store.pointer.write_bytes(pointer)  # killed between renaming the folder and replacing the pointer
    again = Checkpoints(tmp_path, FACTS)
    assert again.newest("a") == 1
    again.save("a", 2, lambda folder: (folder / "other").touch(), 2, expected_bytes=1)
    assert Checkpoints(tmp_path, FACTS).newest("a") == 2 and (again.path("a", 2) / "other").exists()
    assert standing(tmp_path) == ["a/checkpoint-1", "a/checkpoint-2"]


def test_what_a_killed_process_dropped_or_did_not_list_goes_and_all_else_stays(tmp_path):
    store = Checkpoints(tmp_path, FACTS)
    for step in (1, 2):
        save(store, "a", step)
    dropped, listed = tmp_path / "dropped", store.pointer.read_bytes()
    shutil.copytree(store.path("a", 1), dropped)
    save(store, "a", 3)
    shutil.copytree(dropped, store.path("a", 1))  # killed before it was deleted
    save(store, "b", 1)
    emptied(store.path("b", 1) / "model.safetensors")
    other = Checkpoints(tmp_path / "other", {**FACTS, "settings": "other"})
    save(other, "a", 9)
    shutil.copytree(other.path("a", 9), store.path("a", 9))
    shutil.rmtree(tmp_path / "other")
    shutil.rmtree(dropped)
    Checkpoints(tmp_path, FACTS).drop_unlisted()
    kept = ["a/checkpoint-2", "a/checkpoint-3", "a/checkpoint-9", "b/checkpoint-1"]
    assert standing(tmp_path) == kept
    store.pointer.write_bytes(listed)  # as if 3 had not been listed yet
    Checkpoints(tmp_path, FACTS).drop_unlisted()
    assert standing(tmp_path) == [kept[0], *kept[2:]]


@pytest.mark.parametrize("fact", ["settings", "fingerprints"])
def test_a_checkpoint_of_another_run_is_not_used(tmp_path, capsys, fact):
    save(Checkpoints(tmp_path, FACTS), "a", 1)
    assert Checkpoints(tmp_path, {**FACTS, fact: "other"}).newest("a") is None
    assert f"manifest.json has other {fact}: it is of another run" in capsys.readouterr().err


def test_a_checkpoint_under_another_name_is_not_used(tmp_path, capsys):
    store = Checkpoints(tmp_path, FACTS)
    save(store, "a", 1)
    shutil.copytree(tmp_path / "a" / "checkpoint-1", tmp_path / "a" / "checkpoint-9")
    store.pointer.unlink()
    assert Checkpoints(tmp_path, FACTS).newest("a") == 1
    assert "checkpoint-9 is damaged: manifest.json is that of another checkpoint" in capsys.readouterr().err


def test_the_pointer_holds_the_hash_of_each_manifest(tmp_path):
    store = Checkpoints(tmp_path, FACTS)
    save(store, "a", 7)
    entry = Saved(**read_record(store.pointer)[0])
    manifest = (store.path("a", 7) / MANIFEST).read_bytes()
    assert entry == Saved("a", 7, sha256(manifest).hexdigest())


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_found(tmp_path, data):
    folder = tmp_path / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    contents = data.draw(st.dictionaries(st.sampled_from(["a", "b.json", "c.bin"]), st.binary(), min_size=1))
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    digest = write_manifest(folder, {"step": 1})
    assert verify(folder, digest)["step"] == 1
    file = folder / data.draw(st.sampled_from([*contents, MANIFEST]))
    before = file.read_bytes()
    after = data.draw(st.binary() if not before else st.one_of(st.binary(), st.just(before[:-1])))
    if after == before:
        return
    file.write_bytes(after)
    with pytest.raises(DamagedError, match=file.name):
        verify(folder, digest)


# ---- space on the disk ------------------------------------------------------------------------------------


def test_a_disk_without_room_for_two_checkpoints_is_refused_before_training(
    short, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("xpt.training.checkpoints.free_bytes", lambda folder: 5 << 20)
    assert main([*short, "--output_dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the disk has 5 MiB left, and the next 2 checkpoints need" in said
    assert not list((tmp_path / "run").glob("checkpoints/phase*/checkpoint-*"))


def test_a_disk_that_fills_up_ends_the_run_right_after_a_save(stopped, short, tmp_path, capsys, monkeypatch):
    interrupted, whole = stopped
    folder = tmp_path / "run"
    shutil.copytree(interrupted, folder)
    room = [1 << 30, 1 << 30]  # at the start of the phase, and before the save

    monkeypatch.setattr("xpt.training.checkpoints.free_bytes", lambda folder: room.pop() if room else 1000)
    (folder / "checkpoints" / "phase2" / "checkpoint-3" / "config.json").unlink()  # go on from step 2
    assert main([*short, "--output_dir", str(folder)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the disk has 1000 B left, and the next checkpoint needs" in said
    assert said.endswith("fix that, and the same command goes on from step 3 of phase2")
    monkeypatch.undo()
    assert main([*short, "--output_dir", str(folder)]) == 0
    assert_equal_runs(folder, whole)


def test_a_checkpoint_that_cannot_be_written_names_the_reason_and_the_way_on(tmp_path):
    store = Checkpoints(tmp_path, FACTS)
    save(store, "a", 1)

    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        XPTError, match=r"checkpoint-2 cannot be written \(No space left on device\); fix that"
    ) as error:
        store.save("a", 2, fail, 2, expected_bytes=1)
    assert "the same command goes on from step 1 of a" in str(error.value)
    assert standing(tmp_path) == ["a/checkpoint-1"] and store.newest("a") == 1
