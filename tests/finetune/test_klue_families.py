"""Any model: every family learns the tasks of sequences."""

import json
import shutil

import pytest
from klue_models import FAMILIES, POSITIONS, checkpoint_maker
from klue_runs import fine_tune

from xpt.finetune.backbone import open_backbone
from xpt.finetune.klue.tasks import TASKS, make_task
from xpt.run.folder import Run

QUICK = ("bert", "xpt", "gpt2", "t5")  # of each kind


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give `checkpoint(family)` the folder of a tiny model; nothing may be written there."""
    return checkpoint_maker(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("name", ("ynat", "sts", "nli"))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_finite_and_reaches_the_embeddings(family, name, checkpoint):
    if name not in TASKS:
        pytest.skip("not a task yet")
    records = {
        "ynat": {"guid": "a", "title": "국회는 오늘 법을", "label": "정치"},
        "sts": {"guid": "a", "sentence1": "국회는", "sentence2": "법을 오늘", "labels": {"real-label": 3.7}},
        "nli": {"guid": "a", "premise": "국회는", "hypothesis": "법을 오늘", "gold_label": "neutral"},
    }
    task, backbone = make_task(name), open_backbone(str(checkpoint(family)))
    model = task.build(backbone)
    (record,) = task.records(json.dumps([records[name]], ensure_ascii=False), "f.json")
    encoder = backbone.encoder_for(POSITIONS)
    features = task.features(list(task.examples(record)), encoder, training=True)
    loss = model(**task.collate(features, encoder)).loss
    loss.backward()
    assert loss.isfinite()
    gradient = model.get_input_embeddings().weight.grad
    read = features[0].inputs["input_ids"]
    assert gradient.isfinite().all()
    assert gradient[read[len(read) // 2]].abs().sum() > 0


@pytest.mark.learned
@pytest.mark.parametrize(
    "family", [pytest.param(one, marks=() if one in QUICK else pytest.mark.slow) for one in FAMILIES]
)
def test_every_family_learns_a_few_examples_by_heart(family, checkpoint, tmp_path, capfd):
    capacity = {"num_train_epochs": 100, "evaluations_per_epoch": 0.1}  # ELECTRA needs 40, the others 20
    assert fine_tune(checkpoint(family), tmp_path / "out", **capacity) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["metrics"]["nli/accuracy"] > 95
    said = capfd.readouterr()
    assert "LOAD REPORT" not in said.out + said.err and "newly initialized" not in said.out + said.err


@pytest.mark.parametrize("family", QUICK)
def test_micro_batches_make_the_step_of_a_whole_batch(family, checkpoint, tmp_path):
    """Heads give the mean of a micro-batch, though many of their forwards look as if they knew the whole."""
    still = tmp_path / "still"
    shutil.copytree(checkpoint(family), still)
    config = json.loads((still / "config.json").read_text())
    config |= {name: 0.0 for name in config if "drop" in name}
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    (still / "config.json").write_text(json.dumps(config))
    shared = {"num_train_epochs": 3, "logging_steps": 1}
    assert fine_tune(still, tmp_path / "whole", **shared) == 0
    micro = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    assert fine_tune(still, tmp_path / "parts", **shared, **micro) == 0
    whole, parts = (Run(tmp_path / name).read_log() for name in ("whole", "parts"))
    assert len(whole) == len(parts) == 4
    for one, other in zip(whole, parts, strict=True):
        for key in {"loss", "grad_norm"} & set(one):
            assert one[key] == pytest.approx(other[key], rel=1e-3), key
