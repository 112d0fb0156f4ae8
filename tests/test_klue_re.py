"""RE: reading, predictions, models with rows for the markers."""

import json
import math
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_backbones import make_backbone
from klue_tokenizers import make_tokenizer
from learning import learned_by_heart
from placed import placed
from test_klue_entity_markers import TOKENIZERS, copied

from xpt.errors import XPTError
from xpt.klue.encoding import TextEncoder
from xpt.klue.re import RE, Entity, RelatedEntities
from xpt.klue.task import Options, Record

FILE = "klue-re-v1.1_dev.json"


# ---- reading -----------------------------------------------------------------------------------------------


def entry(number=0, **changes):
    subject = {"word": "한빛사", "start_idx": 5, "end_idx": 7, "type": "ORG"}
    person = {"word": "김가람", "start_idx": 0, "end_idx": 2, "type": "PER"}
    return {
        "guid": f"klue-re-v1_dev_{number:05}",
        "sentence": "김가람은 한빛사의 대표이다.",
        "subject_entity": subject,
        "object_entity": person,
        "label": "org:top_members/employees",
        "source": "wikitree",
        **changes,
    }


def read(entries, task=None):
    task = task or RE()
    text = entries if isinstance(entries, str) else json.dumps(entries, ensure_ascii=False, indent=1)
    return [example for record in task.records(text, FILE) for example in task.examples(record)]


def test_ends_are_inclusive_in_the_file():
    (example,) = read([entry()])
    assert example == RelatedEntities(
        *("klue-re-v1_dev_00000", "김가람은 한빛사의 대표이다.", Entity(5, 8, "ORG"), Entity(0, 3, "PER")),
        "org:top_members/employees",
    )
    assert RE().reference(example) == {"label": "org:top_members/employees"}
    row = entry(7)
    assert RE().examples(Record(RE().hub_record(row, row["guid"]), "hub")) == read([entry(7)])
    last = {"word": ".", "start_idx": 14, "end_idx": 14, "type": "POH"}
    assert read([entry(object_entity=last)])[0].object == Entity(14, 15, "POH")


def changed(field, **changes):
    return entry(3, **{field: {**entry()[field], **changes}})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (changed("subject_entity", word="한빛"), "한빛"),
        (changed("subject_entity", start_idx=4), "subject_entity"),
        (changed("subject_entity", end_idx=8), "subject_entity"),
        (changed("object_entity", end_idx=99), "99"),
        (changed("object_entity", start_idx=-15, end_idx=-13), "-15"),
        (changed("object_entity", start_idx=2, end_idx=0, word=""), "object_entity"),
        (changed("object_entity", start_idx="0"), "start_idx"),
        (changed("object_entity", start_idx=0.0), "start_idx"),
        (changed("object_entity", start_idx=False), "start_idx"),
        (changed("object_entity", type=None), "type"),
        (changed("object_entity", word=3), "word"),
        (entry(3, object_entity={"word": "한", "start_idx": 5, "end_idx": 5, "type": "PER"}), "overlap"),
        (entry(3, object_entity={"word": "사", "start_idx": 7, "end_idx": 7, "type": "PER"}), "overlap"),
        (entry(3, object_entity=entry()["subject_entity"]), "overlap"),
        (entry(3, object_entity=[]), "object_entity"),
        (entry(3, label="per:boss"), "per:boss"),
        (entry(3, label=29), "label"),
        (entry(3, sentence=None), "sentence"),
        ({key: value for key, value in entry(3).items() if key != "subject_entity"}, "subject_entity"),
    ],
)
def test_malformed_entries_are_named(wrong, named):
    with pytest.raises(XPTError) as error:
        read([entry(), wrong])
    message = str(error.value)
    assert all(part in message for part in (FILE, "klue-re-v1_dev_00003", named)) and "\n" not in message


def test_entries_without_a_guid_and_other_files():
    with pytest.raises(XPTError, match=rf"{FILE}: entry 1.*guid"):
        read([entry(), {key: value for key, value in entry().items() if key != "guid"}])
    for text in ("", "{}", "[1]", "[" * 5000, "[{]"):
        with pytest.raises(XPTError, match=FILE):
            read(text)
    typed = RE(Options(entity_markers="typed"))
    strange = changed("object_entity", type="ANIMAL")
    assert read([strange])[0].object.type == "ANIMAL"
    with pytest.raises(XPTError, match=r"klue-re-v1_dev_00003.*ANIMAL"):
        read([strange], typed)


VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, 20), st.floats(), st.text(max_size=3)),
    *(st.just([]), st.just({}), st.just("per:title")),
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_entries_are_read_or_refused(data):
    record = json.loads(json.dumps(entry()))
    for _ in range(data.draw(st.integers(1, 2))):
        holder = record
        inner = data.draw(st.sampled_from(["", "subject_entity", "object_entity"]))
        if inner and isinstance(record.get(inner), dict):
            holder = record[inner]
        if not holder:
            continue
        key = data.draw(st.sampled_from(sorted(holder)))
        if data.draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = data.draw(VALUES)
    try:
        examples = read([record])
    except XPTError as error:
        assert FILE in str(error)
    else:
        for example in examples:
            for name, entity in (("subject_entity", example.subject), ("object_entity", example.object)):
                assert example.sentence[entity.start : entity.end] == record[name]["word"] != ""


# ---- predictions and models --------------------------------------------------------------------------------


def test_the_relation_list():
    labels = RE.labels
    assert len(labels) == len(set(labels)) == 30
    assert (labels[0], labels[10], labels[12], labels[29]) == (
        *("no_relation", "org:top_members/employees", "per:date_of_birth", "per:title"),
    )
    assert sum(label.startswith("org:") for label in labels[1:12]) == 11
    assert all(label.startswith("per:") for label in labels[12:])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-90, 90, width=32), min_size=30, max_size=30))
def test_probabilities_are_the_softmax_in_the_official_order(logits):
    task, (example,) = RE(), read([entry()])
    features = task.features([example], TextEncoder(TOKENIZERS["character"], 99, False), training=False)
    (line,) = task.predictions([example], features, [np.array(logits, dtype=np.float32)])
    total = math.fsum(math.exp(value - max(logits)) for value in logits)
    expected = [math.exp(value - max(logits)) / total for value in logits]
    assert line["probs"] == pytest.approx(expected, rel=1e-12, abs=0)
    assert line["label"] == task.labels[logits.index(max(logits))] and line["guid"] == example.guid
    task.check_prediction(example, line)


def test_gold_labels_come_back():
    task = RE()
    examples = [read([entry(label=label)])[0] for label in task.labels]
    features = task.features(examples, TextEncoder(TOKENIZERS["bytes"], 99, False), training=True)
    rows = [np.eye(30)[feature.inputs["labels"]] for feature in features]
    assert [line["label"] for line in task.predictions(examples, features, rows)] == list(task.labels)


@pytest.mark.parametrize(
    "probs",
    [
        *(None, [1 / 29] * 29, [0.1] * 31, "x" * 30),
        *([*[0.1] * 29, wrong] for wrong in (math.nan, math.inf, -0.1, 1.5, "0.1", True, None)),
    ],
)
def test_predictions_that_do_not_fit(probs):
    task, (example,) = RE(), read([entry()])
    task.check_prediction(example, {"label": "per:title", "probs": [0, *[1 / 29] * 29]})
    with pytest.raises(ValueError, match="prob"):
        task.check_prediction(example, {"label": "per:title", "probs": probs})
    with pytest.raises(ValueError, match="unknown label"):
        task.check_prediction(example, {"label": "title", "probs": [1 / 30] * 30})


def examples_to_learn():
    """16 sentences in which the same words are related by where the markers stand."""
    words = ["정부", "국회", "학생", "기자"]
    made = []
    for number in range(16):
        one, other = words[number % 4], words[(number + 1 + number // 8) % 4]
        sentence = f"{one}와 {other}는 {'오늘' if number % 3 else '어제'} 읽었다."
        spans = Entity(0, 2, "ORG"), Entity(4, 6, "PER")
        swapped = number // 4 % 2
        label = f"org:{('members', 'founded_by')[swapped]}"
        made.append(RelatedEntities(f"g-{number}", sentence, *(spans[::-1] if swapped else spans), label))
    return made


@pytest.mark.learned
def test_a_tiny_model_learns_from_its_markers(tmp_path):
    task, backbone = RE(), make_backbone(tmp_path)
    task.prepare(backbone.tokenizer)
    model = task.build(backbone)
    assert model.get_input_embeddings().num_embeddings == len(make_tokenizer("character")) + 4
    assert model.config.vocab_size == len(backbone.tokenizer) and model.config.num_labels == 30
    encoder, examples = backbone.encoder_for(task.settings.max_seq_length), examples_to_learn()
    features = task.features(examples, encoder, training=True)
    batch = task.collate(features, encoder)
    gold = [example.label for example in examples]

    def knows(output):
        lines = task.predictions(examples, features, task.outputs(output, batch))
        return [line["label"] for line in lines] == gold

    assert learned_by_heart(model, batch, knows, rate=2e-3)


@pytest.mark.parametrize("family", ["xpt", "gpt2", "bart", "t5"])
def test_every_kind_of_model_gets_rows_for_the_markers(tmp_path, family):
    task, backbone = RE(Options(entity_markers="typed")), make_backbone(tmp_path / "model", "bytes", family)
    before = backbone.load_encoder().get_input_embeddings().weight.detach().clone()
    model = task.build(backbone)
    after = model.get_input_embeddings().weight
    assert len(after) == len(before) + 24 and torch.equal(after[: len(before)], before)
    encoder = backbone.encoder_for(256)
    batch = task.collate(task.features(examples_to_learn()[:3], encoder, training=True), encoder)
    output = model(**batch)
    output.loss.backward()
    assert output.logits.shape == (3, 30)
    rows = model.get_input_embeddings().weight.grad.abs().sum(dim=1)
    used = [backbone.tokenizer.convert_tokens_to_ids(marker) for marker in ("<subj:ORG>", "</obj:PER>")]
    assert all(rows[id] > 0 for id in used)
    model.eval().save_pretrained(tmp_path / "tuned")
    again = type(model).from_pretrained(tmp_path / "tuned").eval()
    assert torch.equal(placed(again)(**batch).logits, placed(model)(**batch).logits)


def test_prepared_twice_is_prepared_once():
    tokenizer = copied("wordpiece")
    size, spelled = len(tokenizer), tokenizer("서울 국회")["input_ids"]
    RE().prepare(tokenizer)
    assert len(tokenizer) == size == len(make_tokenizer("wordpiece")) + 4
    assert (
        tokenizer("서울 국회")["input_ids"]
        == spelled
        == make_tokenizer("wordpiece")("서울 국회")["input_ids"]
    )
    assert unicodedata.normalize("NFC", tokenizer.decode(spelled, skip_special_tokens=True)) == "서울 국회"
