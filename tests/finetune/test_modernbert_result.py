"""What post-training makes of a ModernBERT is fine-tuned as any encoder is."""

import json

from klue_runs import fine_tune
from tiny_modernberts import make_stock
from tiny_runs import run

from xpt.finetune.saving import load_fine_tuned
from xpt.release.staged_card import CardFacts
from xpt.release.staging import stage


def test_it_learns_a_task_and_is_published_with_its_code(options, tmp_path):
    make_stock().save_pretrained(tmp_path / "source")
    changes = {"source_model_name_or_path": tmp_path / "source", "phase1_steps": 1, "phase2_steps": 1}
    made = run(options(**changes), tmp_path / "made")
    assert fine_tune(made, tmp_path / "nli", num_train_epochs=1) == 0
    results = json.loads((tmp_path / "nli" / "results.json").read_text())
    assert results["model"]["family"] == "xpt-modernbert" and results["metrics"]
    model, _ = load_fine_tuned(tmp_path / "nli")
    assert type(model).__name__ == "XPTModernBertForSequenceClassification"
    staged = stage(tmp_path / "nli", tmp_path / "staged", CardFacts("someone/modern-nli"))
    assert "modeling_xpt_modernbert.py" in staged.files
    card = (staged.folder / "README.md").read_text()
    assert "trust_remote_code=True" in card and "`modeling_xpt_modernbert.py`" in card
