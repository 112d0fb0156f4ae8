"""The notebooks run from top to bottom, here with tiny stand-ins for what they download."""

import json
import re
import shutil

import klue_files
import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import korean_sentences, tiny_config
from nbclient import NotebookClient
from places import REPO
from transformers import BertForMaskedLM, set_seed

QUICKSTART = REPO / "notebooks" / "quickstart.ipynb"
SIZES = {"PHASE1_STEPS": 2, "PHASE2_STEPS": 2, "VOCABULARY": 300}
SIZES |= {"TRAIN_EXAMPLES": 14, "VALIDATION_EXAMPLES": 7}


def outputs(notebook):
    """Every output, by type of what it shows."""
    shown = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error", output
            for kind, value in output.get("data", {output.get("name"): output.get("text")}).items():
                shown.setdefault(kind, []).append(value)
    return shown


def places(notebook):
    """What outputs tell of the machine that made them: absolute paths, addresses."""
    told = {kind: texts for kind, texts in outputs(notebook).items() if not kind.startswith("image/")}
    return re.findall(r"(?<![\w.:/])/\w+/\w+|file:|https?://[^\"']+", json.dumps(told, ensure_ascii=False))


def test_what_is_stored_was_run_from_top_to_bottom_or_not_at_all():
    notebook = nbformat.read(QUICKSTART, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts in ([None] * len(counts), list(range(1, len(counts) + 1)))
    assert not places(notebook)


@pytest.mark.slow
def test_the_quick_start_runs(tmp_path, monkeypatch):
    for name in ("notebooks", "demo", "configs"):
        shutil.copytree(REPO / name, tmp_path / name)
    set_seed(7)
    config = tiny_config("bert")
    config.max_position_embeddings = 160
    BertForMaskedLM(config).save_pretrained(tmp_path / "downloads" / "minilm")
    sentences = korean_sentences(900)
    documents = [" ".join(sentences[start : start + 3]) for start in range(0, 900, 3)]
    (tmp_path / "downloads" / "bills").mkdir()
    pq.write_table(
        pa.table({"propose_reason": documents}), tmp_path / "downloads" / "bills" / "bill_texts.parquet"
    )
    data = tmp_path / "klue-v1.1" / "ynat-v1.1"
    data.mkdir(parents=True)
    for split, count in (("train", 21), ("dev", 14)):
        (data / f"ynat-v1.1_{split}.json").write_text(klue_files.ynat(count), encoding="utf-8")
    for name, size in SIZES.items():
        monkeypatch.setenv(f"QUICKSTART_{name}", str(size))
    monkeypatch.setenv("XPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(REPO))

    notebook = nbformat.read(tmp_path / "notebooks" / "quickstart.ipynb", as_version=4)
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}  # as Jupyter starts it
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()

    shown = outputs(notebook)
    assert not places(notebook)
    assert "text/html" not in shown and "stderr" not in shown, "no bars but ours"
    assert len(shown["image/png"]) == 2, "the loss and the scores"
    fills, comparison = shown["text/markdown"]
    assert (
        "**`<mask>`**" in fills
        and "| ynat macro_f1 (learned 14 of 45,678, scored 7 of 9,107) |" in comparison
    )
    printed = "".join(shown["stdout"])
    assert "phase2" in printed and "output/quickstart/checkpoints/initial [" in printed
    results = json.loads((tmp_path / "output" / "quickstart-ynat" / "results.json").read_text("utf-8"))
    assert results["data"]["train"]["records"] == 14
    assert results["command"].startswith("xpt.fine_tune(xpt.Plan(model=")
