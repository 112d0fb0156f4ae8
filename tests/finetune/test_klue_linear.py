"""One linear layer as head: what it reads, what it learns from, and the recipe that asks for it."""

import json

import pytest
import torch
from klue_backbones import make_backbone
from klue_models import make_checkpoint
from klue_runs import fine_tune
from placed import placed
from places import REPO
from transformers import AutoModelForSequenceClassification

from xpt.finetune.command import read_plan
from xpt.finetune.heads.linear_classifier import LinearClassifier
from xpt.finetune.klue.tasks import make_task
from xpt.finetune.saving import load_fine_tuned
from xpt.finetune.task import Options

RECIPE = REPO / "configs" / "klue_re_paper.yaml"
NLI = [
    {"guid": "a", "premise": "국회는", "hypothesis": "법을 오늘", "gold_label": "neutral"},
    {"guid": "b", "premise": "국회는 오늘 법을", "hypothesis": "읽었다", "gold_label": "entailment"},
]
STS = [
    {"guid": "a", "sentence1": "국회는", "sentence2": "법을 오늘", "labels": {"real-label": 3.7}},
    {"guid": "b", "sentence1": "국회는 오늘 법을", "sentence2": "법", "labels": {"real-label": 0.2}},
]


def headed(folder, family, name, records):
    task, backbone = make_task(name, Options(linear_head=True)), make_backbone(folder, "bytes", family)
    model = task.build(backbone).eval()
    encoder = backbone.encoder_for(100)
    examples = [
        example
        for record in task.records(json.dumps(records, ensure_ascii=False), "f.json")
        for example in task.examples(record)
    ]
    return model, task.collate(task.features(examples, encoder, training=True), encoder)


@pytest.mark.parametrize(("family", "last"), [("xpt", False), ("bart", False), ("t5", False), ("gpt2", True)])
def test_it_reads_one_token_and_learns_by_cross_entropy(family, last, tmp_path):
    model, batch = headed(tmp_path / "model", family, "nli", NLI)
    assert isinstance(model, LinearClassifier)
    output = model(**batch)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    hidden = model.encoder(**inputs).last_hidden_state
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert lengths[0] != lengths[1]
    for row, length in enumerate(lengths):
        read = hidden[row, length - 1 if last else 0]
        expected = model.classifier.weight @ read + model.classifier.bias
        assert torch.allclose(output.logits[row], expected, atol=1e-5)
    chosen = output.logits.log_softmax(dim=-1)[range(2), batch["labels"].tolist()]
    assert torch.allclose(output.loss, -chosen.mean())
    assert model.config.id2label == dict(enumerate(("entailment", "contradiction", "neutral")))


def test_a_score_is_learned_by_the_squared_error(tmp_path):
    model, batch = headed(tmp_path / "model", "xpt", "sts", STS)
    output = model(**batch)
    assert output.logits.shape == (2, 1)
    assert torch.allclose(output.loss, ((output.logits[:, 0] - torch.tensor([3.7, 0.2])) ** 2).mean())


def test_marked_entities_have_rows_in_what_is_saved(tmp_path):
    backbone = make_backbone(tmp_path / "model", "bytes", "xpt")
    model = make_task("re", Options(linear_head=True)).build(backbone).eval()
    model.save_pretrained(tmp_path / "out")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    ids = torch.tensor([[len(backbone.tokenizer) - 1, 3]])
    mask = torch.ones_like(ids)
    logits, expected = (placed(each)(input_ids=ids, attention_mask=mask).logits for each in (again, model))
    assert torch.equal(logits, expected)


@pytest.mark.learned
@pytest.mark.parametrize("lora", ["false", "true"])
def test_it_is_learned_reported_under_its_name_and_loads_again(lora, tmp_path):
    source = make_checkpoint("xpt", tmp_path / "source")
    assert fine_tune(source, tmp_path / "out", linear_head="true", lora=lora, learning_rate=8e-3) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["reported_as"] == "nli (linear_head=true)"
    assert results["metrics"]["nli/accuracy"] > 95
    model, _ = load_fine_tuned(tmp_path / "out")
    base = model.get_base_model() if lora == "true" else model
    assert isinstance(base, LinearClassifier)


def test_the_recipe_of_the_study_is_what_it_published():
    plan = read_plan([str(RECIPE), "--model_name_or_path", "m"])
    (job,) = plan.jobs
    task = plan.task(job.task)
    arguments = plan.training.for_task(task.official_settings(768), job.seed, lora=False)
    assert task.name == "re" and task.markers == () and task.options.linear_head
    assert arguments.per_device_train_batch_size == 32 and arguments.num_train_epochs == 15
    assert arguments.learning_rate == 1e-5
    assert task.reported_as == "re (entity_markers=none, linear_head=true)"
