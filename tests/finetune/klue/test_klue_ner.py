"""NER: tags of characters go through tokens and come back; reading; training."""

import random

import numpy as np
import pytest
import torch
from hypothesis import example as given_example
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_backbones import POSITIONS, make_backbone
from klue_texts import texts
from klue_tokenizers import KINDS, make_tokenizer
from learning import learned_by_heart
from placed import placed
from transformers import AutoModel

from xpt.finetune.encoding import TextEncoder
from xpt.finetune.heads.token_tagger import TokenTagger
from xpt.finetune.klue.ner import NER, TaggedCharacters
from xpt.finetune.task import Record
from xpt.program.errors import XPTError

FILE = "klue-ner-v1.1_dev.tsv"
TOP = "## 형태 구분자 : \\t\n## 행태 구분자 : \\n\n"
TOP += "## 문장 구분자 : \\n\\n\n## 주석 : ##\n## 컬럼명 : CHAR\tNE_TAG\n"
ROWS = [("서", "B-LC"), ("울", "I-LC"), (" ", "O"), ("간", "O"), ("다", "O")]
OTHER = [("이", "B-PS"), (" ", "I-PS"), ("순", "I-PS"), ("신", "I-PS"), ("은", "O"), ("#", "O")]
TASK = NER()


# ---- an independent ceiling, from the tokenizer's own offsets ----------------------------------------------


def ceiling(tokenizer, characters, tags, capacity):
    """What a perfect model gets, and why each tag that differs is lost: row -> cause."""
    text = "".join(characters)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    marks = {at for at, token in enumerate(tokenizer.tokenize(text)) if token == "▁"}
    known, causes = {}, {}
    heads: dict[int, int] = {}  # token -> the first character that it may name
    tokens: list[int] = []
    for row, character in enumerate(text):
        before = tokens[-1:] if row and not text[row - 1].isspace() else []
        tokens = [at for at, (start, end) in enumerate(offsets) if start <= row < end and at not in marks]
        tokens = tokens or before  # the rest of a letter that the tokenizer composed
        if character.isspace() or not tokens:
            causes[row] = "covered by no token"
        elif tokens[0] >= capacity:
            causes[row] = "truncated"
        else:
            head = heads.setdefault(tokens[0], row)
            inside = tags[head] if tags[head] == "O" else "I-" + tags[head].split("-")[1]
            known[row] = tags[row] if row == head else inside
            causes[row] = "boundary inside a token"
    result = []
    for row in range(len(text)):
        before = max((other for other in known if other < row), default=None)
        after = min((other for other in known if other > row), default=None)
        if row in known:
            result.append(known[row])
        elif before is None or after is None or known[after][0] != "I" or known[before] == "O":
            result.append("O")
        else:
            result.append(known[after] if known[before][2:] == known[after][2:] else "O")
    return result, {row: causes[row] for row in range(len(text)) if result[row] != tags[row]}


def perfect(feature, seed=0):
    """Logits by which each token that is learned is tagged as learned, and the others anyhow."""
    chooser = random.Random(seed)
    labels = [chooser.randrange(13) if label == -100 else label for label in feature.inputs["labels"]]
    return np.eye(13, dtype=np.float32)[labels]


def there_and_back(examples, encoder, seed=0):
    features = TASK.features(examples, encoder, training=False)
    lines = TASK.predictions(examples, features, [perfect(feature, seed) for feature in features])
    for example, line in zip(examples, lines, strict=True):
        assert line["guid"] == example.guid
        TASK.check_prediction(example, line)
    return [line["tags"] for line in lines]


@st.composite
def tagged(draw):
    """A text with entities anywhere, blanks inside of them tagged as such."""
    text = draw(texts())
    tags = ["O"] * len(text)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, min(len(text), start + 6)))
        if all(tag == "O" for tag in tags[max(0, start - 1) : end]) and not text[start].isspace():
            kind = draw(st.sampled_from(["PS", "LC", "OG", "DT", "TI", "QT"]))
            end = start + len(text[start:end].rstrip())
            tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return TaggedCharacters("klue-ner-v1_dev_00000-nsmc", tuple(text), tuple(tags))


@settings(max_examples=150, deadline=None)
@given(tagged(), st.sampled_from(KINDS), st.sampled_from([8, 510]), st.integers(0, 9))
@given_example(TaggedCharacters("g", tuple("서울은"), ("B-LC", "I-LC", "O")), "metaspace", 510, 0)
def test_gold_comes_back_as_far_as_offsets_allow(example, kind, length, seed):
    encoder = TextEncoder(make_tokenizer(kind), length, token_types=False)
    expected, _ = ceiling(encoder.tokenizer, example.characters, example.tags, encoder.capacity)
    assert there_and_back([example], encoder, seed) == [expected]


@settings(max_examples=60, deadline=None)
@given(st.lists(tagged(), min_size=1, max_size=3))
def test_a_character_tokenizer_loses_nothing(examples):
    encoder = TextEncoder(make_tokenizer("character"), 510, token_types=True)
    assert there_and_back(examples, encoder) == [list(example.tags) for example in examples]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), texts(), st.data())
def test_any_tags_are_learned_at_the_first_character_of_a_token(kind, text, data):
    """Broken ones too: an I- without its B- and blanks with any tag are what some files hold."""
    tags = data.draw(st.lists(st.sampled_from(TASK.labels), min_size=len(text), max_size=len(text)))
    encoder = TextEncoder(make_tokenizer(kind), 510, token_types=False)
    expected, _ = ceiling(encoder.tokenizer, text, tags, encoder.capacity)
    assert there_and_back([TaggedCharacters("g", tuple(text), tuple(tags))], encoder) == [expected]


def test_labels_of_special_tokens_word_marks_and_bytes():
    def labels(kind, text, *tags):
        encoder = TextEncoder(make_tokenizer(kind), 510, token_types=False)
        (feature,) = TASK.features([TaggedCharacters("g", tuple(text), tags)], encoder, training=True)
        tokens = encoder.tokenizer.convert_ids_to_tokens(feature.inputs["input_ids"])
        names = [TASK.labels[label] if label >= 0 else label for label in feature.inputs["labels"]]
        return list(zip(tokens, names, strict=True))

    assert labels("metaspace", "國會", "B-OG", "I-OG") == [
        *[("<s>", "O"), ("▁", "O"), ("國", "B-OG"), ("會", "I-OG"), ("</s>", "O")]
    ]
    assert [name for _, name in labels("bytes", "뷁", "B-PS")] == ["O", "B-PS", -100, -100, "O"]
    batch = TASK.collate(
        TASK.features(
            [TaggedCharacters("a", ("가",), ("O",)), TaggedCharacters("b", tuple("가나다"), ("O",) * 3)],
            TextEncoder(make_tokenizer("character"), 510, token_types=False),
            training=True,
        ),
        TextEncoder(make_tokenizer("character"), 510, token_types=False),
    )
    assert batch["labels"][0].tolist() == [12, 12, 12, *[-100] * 5]  # padding, up to 8, is not learned


# ---- reading -----------------------------------------------------------------------------------------------


def block(guid, rows, header="문장"):
    return f"## {guid}\t{header}\n" + "".join(f"{character}\t{tag}\n" for character, tag in rows)


def read(text):
    return [example for record in TASK.records(text, FILE) for example in TASK.examples(record)]


def test_rows_are_read_and_not_the_header():
    text = TOP + "\n".join(
        [
            block("klue-ner-v1_dev_00000-nsmc", ROWS, "<서울:LC> 갔다"),
            block(" klue-ner-v1_train_00001_wikitree ", OTHER),
        ]
    )
    assert [(one.guid, "".join(one.characters), one.tags) for one in read(text + "\n")] == [
        ("klue-ner-v1_dev_00000-nsmc", "서울 간다", tuple(tag for _, tag in ROWS)),
        ("klue-ner-v1_train_00001_wikitree", "이 순신은#", tuple(tag for _, tag in OTHER)),
    ]
    assert TASK.reference(read(text)[0]) == {
        "characters": ["서", "울", " ", "간", "다"],
        "tags": ["B-LC", "I-LC", "O", "O", "O"],
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (block("g-1", [("서울", "B-LC")]), ["g-1", "row 1"]),
        (block("g-1", [("", "O")]), ["g-1", "row 1"]),
        (block("g-1", [*ROWS, ("가", "B-XX")]), ["g-1", "B-XX"]),
        (block("g-1", [*ROWS, ("가", "O\tO")]), ["line 20", "3 columns"]),
        ("## g-1\tx\n서\n", ["line 15", "1 columns"]),
        ("## g-1\tx\n\n" + block("g-2", ROWS), ["g-1", "no rows"]),
        ("서\tO\n", ["line 14"]),
        ("## g-1\n서\tO\n", ["line 15"]),
        (block(" ", ROWS), ["guid"]),
    ],
)
def test_malformed_files_are_named(text, named):
    with pytest.raises(XPTError) as error:
        read(TOP + "\n" + block("g-0", ROWS) + "\n" + text)  # `text` begins on line 14
    message = str(error.value)
    assert all(part in message for part in [FILE, *named]) and "\n" not in message


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_files_are_read_or_refused(data):
    text = TOP + "\n" + block("g-0", ROWS) + "\n" + block("g-1", OTHER)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        until = data.draw(st.integers(at, min(len(text), at + 8)))
        put = data.draw(
            st.sampled_from(["", "\t", "\n", "\n\n", "## ", "##", " ", "가", "B-PS", "\u2028", "\r"])
        )
        text = text[:at] + put + text[until:]
    try:
        examples = read(text)
    except XPTError as error:
        assert FILE in str(error) and "\n" not in str(error)
    else:
        for example in examples:
            assert len(example.characters) == len(example.tags) > 0
            assert all(len(character) == 1 for character in example.characters)
            assert set(example.tags) <= set(TASK.labels)


def hub(**changes):
    row = {"sentence": "<서울:LC> 간다", "tokens": [c for c, _ in ROWS], "ner_tags": [tag for _, tag in ROWS]}
    block = TASK.hub_record({**row, **changes}, "klue-ner-v1_dev_00003")
    return TASK.examples(Record(block, "klue/klue validation row 3"))


def test_hub_rows_are_the_same_examples_with_the_guid_given():
    assert hub() == [
        TaggedCharacters("klue-ner-v1_dev_00003", tuple("서울 간다"), tuple(tag for _, tag in ROWS))
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": ["서", "울"]},
        {"ner_tags": ["O"] * 6},
        {"ner_tags": [12] * 5},
        {"tokens": None},
        {"tokens": ["서울", "", " ", "간", "다"]},
        {"tokens": [1, 2, 3, 4, 5]},
        {"tokens": [], "ner_tags": []},
        {"ner_tags": [["O"]] * 5},
    ],
)
def test_hub_rows_that_do_not_fit_are_named(changes):
    with pytest.raises(XPTError, match=r"^klue/klue validation row 3: [^\n]*$"):
        hub(**changes)


@pytest.mark.parametrize("tags", [["O"] * 4, ["O"] * 6, "OOOOO", ["O"] * 4 + ["X"], ["O"] * 4 + [None], None])
def test_predictions_that_do_not_fit(tags):
    (example,) = hub()
    TASK.check_prediction(example, {"tags": ["O"] * 5})
    with pytest.raises(ValueError, match="tag"):
        TASK.check_prediction(example, {"tags": tags})


# ---- models ------------------------------------------------------------------------------------------------


def sentences():
    """16 different sentences, each with two entities that are told by their words."""
    names = [("서울", "LC"), ("정부", "OG"), ("김 연구", "PS"), ("2년", "DT"), ("3번", "QT"), ("아침", "TI")]
    made = []
    for number in range(16):
        entities = names[number % 6], names[(number + 1 + number // 6) % 6]
        characters, tags = "", []
        for (word, kind), particle in zip(entities, ("의 ", "에"), strict=True):
            characters += word + particle
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(word) - 1), *["O"] * len(particle)]
        made.append(TaggedCharacters(f"g-{number}", tuple(characters), tuple(tags)))
    return made


@pytest.mark.learned
def test_a_tiny_model_learns_sixteen_sentences(tmp_path):
    backbone = make_backbone(tmp_path)
    model = TASK.build(backbone)
    assert type(model).__name__ == "XPTRobertaForTokenClassification"
    assert model.config.id2label[0] == "B-PS" and model.config.num_labels == 13
    encoder, examples = backbone.encoder_for(TASK.settings.max_seq_length), sentences()
    assert encoder.max_length == POSITIONS
    features = TASK.features(examples, encoder, training=True)
    batch = TASK.collate(features, encoder)
    gold = [list(example.tags) for example in examples]

    def knows(output):
        lines = TASK.predictions(examples, features, TASK.outputs(output, batch))
        return [line["tags"] for line in lines] == gold

    assert learned_by_heart(model, batch, knows, rate=3e-3)


@pytest.mark.parametrize(("family", "ours"), [("bart", True), ("t5", False), ("gpt2", False), ("xpt", False)])
def test_every_kind_of_model_has_a_head_that_learns_and_loads_again(tmp_path, family, ours):
    backbone = make_backbone(tmp_path / "model", "bytes", family)
    model = TASK.build(backbone)
    assert isinstance(model, TokenTagger) == ours
    encoder = backbone.encoder_for(510)
    batch = TASK.collate(TASK.features(sentences()[:3], encoder, training=True), encoder)
    output = model(**batch)
    output.loss.backward()
    assert output.logits.shape == (*batch["input_ids"].shape, 13)
    gradients = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
    assert all(
        value is not None and value.abs().sum() > 0 for name, value in gradients.items() if "bias" not in name
    )
    model.eval().save_pretrained(tmp_path / "tagged")
    again = type(model).from_pretrained(tmp_path / "tagged").eval()
    assert torch.equal(placed(again)(**batch).logits, placed(model)(**batch).logits)
    assert again.config.id2label == dict(enumerate(TASK.labels))


def test_our_head_keeps_the_encoder_and_is_found_by_its_folder(tmp_path):
    backbone = make_backbone(tmp_path / "model", "bytes", "bart")
    before = {name: value.clone() for name, value in backbone.load_encoder().state_dict().items()}
    model = TASK.build(backbone)
    after = model.encoder.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    model.save_pretrained(tmp_path / "tagged")
    assert type(AutoModel.from_pretrained(tmp_path / "tagged")) is TokenTagger


def test_our_loss_is_that_of_the_stock_head(tmp_path):
    backbone = make_backbone(tmp_path, "bytes", "bart")
    model = TASK.build(backbone).eval()
    encoder = backbone.encoder_for(510)
    batch = TASK.collate(TASK.features(sentences()[:4], encoder, training=True), encoder)
    output = model(**batch)
    kept = batch["labels"] >= 0
    chosen = output.logits.log_softmax(-1).gather(-1, batch["labels"].clamp(min=0)[..., None])[..., 0]
    assert torch.allclose(output.loss, -chosen[kept].mean(), rtol=1e-6)
