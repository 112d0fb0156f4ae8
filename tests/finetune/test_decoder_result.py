"""A decoder that post-training made is fine-tuned as any decoder is."""

import json

from klue_runs import fine_tune
from tiny_decoders import decoder_source
from tiny_runs import run


def test_what_post_training_makes_of_a_decoder_is_fine_tuned_with_its_tokenizer(options, tmp_path):
    source = decoder_source(tmp_path / "llama", "llama")
    changes = {"vocab_size": 600, "phase1_steps": 1, "phase2_steps": 1}
    made = run(options(source_model_name_or_path=source, **changes), tmp_path / "made")
    assert fine_tune(made, tmp_path / "nli", num_train_epochs=1) == 0
    results = json.loads((tmp_path / "nli" / "results.json").read_text())
    assert results["model"]["family"] == "llama" and results["metrics"]
    config = json.loads((tmp_path / "nli" / "config.json").read_text())
    assert config["num_itl_in"] == 1 and config["architectures"] == ["LlamaForSequenceClassification"]
