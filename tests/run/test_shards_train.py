"""Training on shards by the same door: bit-equal after stops, counted as a whole, refused in one line."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from shard_folders import prepare
from tiny_runs import assert_equal_runs, run, weights

from train_xpt import main
from xpt.run.progress import PhaseProgress
from xpt.text.shards import rows as rows_module
from xpt.text.shards.index import ShardIndex


@pytest.fixture(scope="module")
def prepared(corpus_file, tmp_path_factory) -> Path:
    return prepare(corpus_file, tmp_path_factory.mktemp("shards") / "prepared")


@pytest.fixture(scope="module")
def on_shards(options, prepared):
    """Give `on_shards(**changes)` the flags of a tiny run on shards."""

    def make(**changes) -> list[str]:
        return options(**{"corpus": None, "vocab_size": None, "corpus_shards": prepared, **changes})

    return make


def test_a_run_on_shards_stopped_twice_ends_bit_equal(on_shards, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "SHARDS_AT_ONCE", 2)
    # Some 60 rows of 4 sentences a shard: the run ends in its second group.
    flags = on_shards(per_device_train_batch_size=16, embedding_init="static")
    whole = run(flags, tmp_path / "whole")
    points = [("phase1", 3), ("phase2", 1)]
    step_end = PhaseProgress.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        if points and (self.phase, state.global_step) == points[0]:
            del points[0]
            raise KeyboardInterrupt

    monkeypatch.setattr(PhaseProgress, "on_step_end", on_step_end)
    # The cache may be another one, empty and smaller, and workers may read the rows.
    codes = []
    while not codes or codes[-1] == 130:
        cache = tmp_path / f"cache-{len(codes)}"
        changes = {"cache_dir": cache, "shard_cache_gb": 0.1, "dataloader_num_workers": len(codes) % 2}
        given = on_shards(per_device_train_batch_size=16, embedding_init="static", **changes)
        codes.append(main([*given, "--output_dir", str(tmp_path / "stopped")]))
    assert codes == [130, 130, 0]
    for folder in (tmp_path / "whole", tmp_path / "stopped"):
        results = json.loads((folder / "results.json").read_text())
        for name in ("shard_cache_gb", "dataloader_num_workers"):
            del results["settings"][name]
        (folder / "results.json").write_text(json.dumps(results))
    assert_equal_runs(whole, tmp_path / "stopped")


def test_its_results_tell_of_the_whole_text(on_shards, tmp_path, capsys):
    folder = run(on_shards(phase1_steps=1, phase2_steps=0), tmp_path / "run")
    said = " ".join(capsys.readouterr().out.split())
    results = json.loads((folder / "results.json").read_text())
    splits = {name: split["sentences"] for name, split in results["corpus"]["splits"].items()}
    assert sum(splits.values()) == 1500 and results["corpus"]["inputs"][0]["file"] == "korean.txt"
    assert f"{splits['train']:,} train, {splits['validation']} validation, {splits['test']} test" in said
    assert results["fills"] and "word_embeddings" in str(weights(folder).keys())


def test_a_dry_run_counts_shards(on_shards, prepared, tmp_path, capsys):
    flags = on_shards(packing="false", phase1_steps=7, phase2_steps=0, per_device_train_batch_size=100)
    assert main([*flags, "--output_dir", str(tmp_path / "run"), "--dry_run", "true"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    shards = json.loads((prepared / "shards.json").read_text())["content"]["shards"]
    # Rows of 32 tokens have space for 30 of a sentence.
    rows = sum(-(-length // 30) * count for shard in shards for length, count in shard["lengths"])
    epochs = float(re.search(r"tokens, ([\d.]+) epochs", said)[1])
    assert epochs == pytest.approx(700 / rows, rel=0.01) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": "x.txt"}, "--corpus and --corpus_shards: give one of them"),
        ({"train_sentences": 5}, "--train_sentences has no effect on --corpus_shards"),
        ({"shard_cache_gb": 0}, "--shard_cache_gb is 0.0: give a number of gigabytes above 0"),
        ({"shard_cache_gb": 1e-6}, "--shard_cache_gb is 1e-06, but 9 shards of"),
        ({"language": "uk"}, "--language is uk, but the text of"),
        ({"tokenizer_name_or_path": "tokenizer"}, "another tokenizer than --tokenizer_name_or_path names"),
        ({"corpus_shards": "s3://me:key@host/x"}, "give credentials in the environment"),
        ({"corpus_shards": "nowhere"}, "nowhere holds no shards.json"),
    ],
)
def test_what_does_not_fit_shards_is_one_line_and_nothing_is_written(
    on_shards, tmp_path, capsys, changes, message
):
    folder = tmp_path / "run"
    assert main([*on_shards(**changes), "--output_dir", str(folder)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error and not folder.exists(), error


def test_another_tokenizer_in_the_prepared_folder_is_refused(on_shards, prepared, tmp_path, capsys):
    copy = shutil.copytree(prepared, tmp_path / "copy")
    index = ShardIndex.parse((copy / "shards.json").read_bytes())
    replace(index, tokenizer="another", fingerprint="f" * 64).write(copy)
    flags = [
        *on_shards(corpus_shards=copy, cache_dir=tmp_path / "cache"),
        "--output_dir",
        str(tmp_path / "run"),
    ]
    assert main(flags) == 2
    assert "copy/tokenizer is not the tokenizer that made the ids" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "cache")
    file = copy / "tokenizer" / "tokenizer.json"
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    assert main(flags) == 2
    assert "copy/tokenizer/tokenizer.json is damaged" in capsys.readouterr().err
