"""MRC: reading, features of any tokenizer, answers from perfect logits, heads of many kinds of models."""

import copy
import json

import numpy as np
import pytest
import torch
from conftest import korean_sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_spans import block_f1, covered, covering, most_context, offsets, slow_windows
from klue_tokenizers import KINDS, make_tokenizer
from tokenizers import processors
from transformers import (
    AutoModelForQuestionAnswering,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.errors import XPTError
from xpt.klue.backbone import open_backbone
from xpt.klue.encoding import TextEncoder
from xpt.klue.mrc import MRC, Question
from xpt.klue.spans import LONGEST, STEP, step_for
from xpt.klue.task import Record

PARTS = [
    "국회는",
    "서울에서",
    "大韓民國",
    "한글",
    "é",
    "3.5%",
    "《책》",
    "👩‍👩‍👧",
    "☀️",
    "😀",
    "𠀀",
    "ﬁ①…",
    "x",
]
BLANKS = [" ", "", "\u00a0", "\u3000", "  ", "\n"]
TASK = MRC()


def texts(most=12):
    """Contexts of odd parts; often without blanks between them."""
    pieces = st.tuples(st.sampled_from(PARTS), st.sampled_from(BLANKS))
    return st.lists(pieces, min_size=1, max_size=most).map(lambda found: "".join(map("".join, found)))


@st.composite
def questions(draw, most=12, question="어디에서 열렸나?", impossible=False):
    """A question whose answer is any part of its context without blanks at its ends."""
    context = draw(texts(most))
    filled = [place for place, letter in enumerate(context) if not letter.isspace()]
    begin = draw(st.sampled_from(filled) | st.just(filled[0]))
    end = 1 + draw(st.sampled_from([place for place in filled if place >= begin]) | st.just(filled[-1]))
    answers = () if impossible else ((context[begin:end], begin),)
    return Question("guid", "", context, question, answers, impossible, 3 if impossible else 1)


def encoder(kind, max_length=510, token_types=True):
    return TextEncoder(make_tokenizer(kind), max_length, token_types)


def perfect(task, examples, encoder):
    """Logits that say what training features are labelled with."""
    rows = []
    for feature in task.features(examples, encoder, training=True):
        row = np.zeros((2, len(feature.inputs["input_ids"])), np.float32)
        row[0, feature.inputs["start_positions"]] = row[1, feature.inputs["end_positions"]] = 10
        rows.append(row)
    return rows


def answered(examples, encoder):
    """The texts that perfect logits lead to."""
    features = TASK.features(examples, encoder, training=False)
    lines = TASK.predictions(examples, features, perfect(TASK, examples, encoder))
    assert [line["guid"] for line in lines] == [example.guid for example in examples]
    return [line["text"] for line in lines]


def room_for(question, encoder):
    """Context tokens of a window, from the tokenizer's own count of special ones."""
    room = encoder.max_length - encoder.tokenizer.num_special_tokens_to_add(pair=True)
    return room - min(len(offsets(encoder.tokenizer, question)), 64, room // 2)


def reachable(example, encoder):
    """Whether some window may begin the answer and holds all of it, and it is not too long."""
    (text, begin), context = example.answers[0], example.context
    places = offsets(encoder.tokenizer, context)
    first, last = covering(places, context, begin, begin + len(text))
    room = room_for(example.question, encoder)
    ranges = slow_windows(len(places), room, step_for(room))
    begin, end = ranges[most_context(ranges, first)]
    return last < end and last - first < LONGEST


# ---- features and answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(question=questions(), max_length=st.sampled_from([24, 40, 510]))
def test_perfect_logits_answer_with_the_covering_tokens(kind, question, max_length):
    reader = encoder(kind, max_length)
    (text, begin), (given_text,) = question.answers[0], answered([question], reader)
    if not reachable(question, reader):
        return
    best = covered(reader.tokenizer, question.context, begin, begin + len(text))
    assert text in best
    assert given_text == best
    assert block_f1(given_text, text) == pytest.approx(2 * len(text) / (len(best) + len(text)))
    if kind == "character":
        assert given_text == text


@settings(max_examples=40, deadline=None)
@given(question=questions(most=60))
def test_nothing_is_lost_in_many_windows_of_characters(question):
    reader = encoder("character", 140)
    text = question.answers[0][0]
    (given_text,) = answered([question], reader)
    if len(text) <= LONGEST:
        assert given_text == text
    else:
        assert given_text != text


@pytest.mark.parametrize("kind", KINDS)
def test_answers_at_both_ends_of_a_long_context(kind):
    context = " ".join(korean_sentences(60))
    first, last = context.split()[0], context.split()[-1]
    places = (0, len(context) - len(last))
    asked = [
        Question(f"q{i}", "", context, "누가?", ((text, place),), False, 1)
        for i, (text, place) in enumerate(zip((first, last), places, strict=True))
    ]
    reader = encoder(kind, 140)
    assert len(TASK.features(asked, reader, training=False)) > 6
    expected = [
        covered(reader.tokenizer, context, place, place + len(text))
        for text, place in zip((first, last), places, strict=True)
    ]
    assert answered(asked, reader) == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(question=questions(most=40, impossible=True))
def test_what_cannot_be_answered_is_empty(kind, question):
    assert answered([question], encoder(kind, 40)) == [""]


@pytest.mark.parametrize("kind", KINDS)
def test_windows_begin_128_tokens_apart(kind):
    context = " ".join(korean_sentences(150))
    question = Question("q", "", context, "언제 어디에서?", (), True, 3)
    reader = encoder(kind)
    tokens = reader.pieces([context])[0].ids
    features = TASK.features([question], reader, training=False)
    ranges = slow_windows(len(tokens), room_for(question.question, reader), STEP)
    assert [list(feature.inputs["input_ids"][feature.memory.first :][: e - b]) for feature, (b, e) in
            zip(features, ranges, strict=True)] == [tokens[b:e] for b, e in ranges]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(question=questions(most=30, question="국회 " * 90), max_length=st.integers(5, 200))
def test_sequences_are_the_tokenizer_s_own_pairs(kind, question, max_length):
    reader = encoder(kind, max_length)
    tokenizer = reader.tokenizer
    asked = tokenizer(question.question, add_special_tokens=False)["input_ids"]
    kept = min(64, (max_length - tokenizer.num_special_tokens_to_add(pair=True)) // 2)
    for feature in TASK.features([question], reader, training=False):
        window, ids = feature.memory, [int(id) for id in feature.inputs["input_ids"]]
        context = ids[window.first : window.first + len(window.starts)]
        assert len(ids) <= max_length
        assert ids == reader.pair(asked[:kept], context)["input_ids"]
        assert ids[1 : 1 + kept] == asked[:kept]
        types = [int(type_id) for type_id in feature.inputs["token_type_ids"]]
        second = 1 if kind in ("character", "wordpiece") else 0
        assert set(types[window.first :][: len(context)]) <= {second}
        assert not any(types[: 1 + kept])


def test_only_the_first_answer_is_learned_and_all_are_gold():
    question = Question("q", "", "가 나 다 라", "?", (("다", 4), ("가", 0)), False, 1)
    reader = encoder("character")
    (feature,) = TASK.features([question], reader, training=True)
    ids, places = (
        feature.inputs["input_ids"],
        (feature.inputs["start_positions"], feature.inputs["end_positions"]),
    )
    first = len(offsets(reader.tokenizer, "?")) + 2
    assert places == (first + 4, first + 4)
    assert feature.memory is None and len(ids) == first + len("가 나 다 라") + 1
    assert TASK.reference(question) == {"answers": ["다", "가"]}


def test_windows_without_all_of_the_answer_learn_the_first_token():
    context = "가나" * 100
    question = Question("q", "", context, "?", (("나가나", 99),), False, 1)
    reader = encoder("character", 104)
    room, first = 100, 3
    features = TASK.features([question], reader, training=True)
    expected = [
        (first + 99 - begin, first + 101 - begin) if begin <= 99 and end >= 102 else (0, 0)
        for begin, end in slow_windows(200, room, step_for(room))
    ]
    found = [(feature.inputs["start_positions"], feature.inputs["end_positions"]) for feature in features]
    assert found == expected
    assert {(0, 0)} < set(found)


@pytest.mark.parametrize("context", ["", " \u3000\n"])
def test_an_empty_context_has_no_answer(context):
    assert answered([Question("q", "", context, "?", (), True, 3)], encoder("metaspace")) == [""]


def test_a_tokenizer_that_puts_nothing_in_front_has_the_question_s_first_token_there():
    tokenizer = copy.deepcopy(make_tokenizer("bytes"))
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    reader = TextEncoder(tokenizer, 60, False)
    context = " ".join(korean_sentences(12))
    word = context.split()[-1]
    answer = (word, len(context) - len(word))
    asked = [
        Question("q0", "", context, "누가?", (answer,), False, 1),
        Question("q1", "", context, "?", (), True, 3),
    ]
    features = TASK.features(asked, reader, training=True)
    assert len(features) > 10
    first = tokenizer("누가?")["input_ids"][0]
    assert {int(feature.inputs["input_ids"][0]) for feature in features if feature.example == 0} == {first}
    expected = covered(tokenizer, context, answer[1], len(context))
    assert word in expected and answered(asked, reader) == [expected, ""]


def test_more_examples_than_are_tokenized_at_once_keep_their_places():
    asked = [Question(f"q{i}", "", f"{i}번 문", "몇 번?", ((str(i), 0),), False, 1) for i in range(600)]
    reader = encoder("character")
    assert [feature.example for feature in TASK.features(asked, reader, training=True)] == list(range(600))
    assert answered(asked, reader) == [str(i) for i in range(600)]


def test_sequences_too_short_for_anything_are_refused():
    with pytest.raises(XPTError, match="allow longer sequences"):
        TASK.features([], encoder("character", 3), training=True)


# ---- reading ---------------------------------------------------------------------------------------------


def document():
    """An official file of two articles; the plausible answer stands at a wrong place, as in copies."""
    context = "한빛관은 2010년에 문을 열었다. 관장은 국민수이다."
    answered = {
        "question": "한빛관이 문을 연 해는?",
        "answers": [{"text": "2010년", "answer_start": 5}, {"text": "2010", "answer_start": 5}],
        "question_type": 1,
        "is_impossible": False,
        "guid": "mrc-0",
    }
    refused = {
        "question": "한빛관이 문을 닫은 해는?",
        "answers": [],
        "plausible_answers": [{"text": "2010년", "answer_start": 1}],
        "question_type": 3,
        "is_impossible": True,
        "guid": "mrc-1",
    }
    second = {
        "question": "관장은?",
        "answers": [{"text": "국민수", "answer_start": 26}],
        "question_type": 2,
        "is_impossible": False,
        "guid": "mrc-2",
    }
    first = {"context": context, "qas": [answered, refused]}
    other = {"context": f"  {context}", "qas": [second]}
    return {
        "version": "v1.1",
        "data": [
            {"title": "개관", "paragraphs": [first], "news_category": None, "source": "wikipedia"},
            {"title": "사람", "paragraphs": [other], "news_category": "사회", "source": "acrofan"},
        ],
    }


def read(value):
    return [
        example
        for record in TASK.records(json.dumps(value), "file.json")
        for example in TASK.examples(record)
    ]


def test_an_official_file_is_read():
    first, refused, second = read(document())
    context = "한빛관은 2010년에 문을 열었다. 관장은 국민수이다."
    answers = (("2010년", 5), ("2010", 5))
    assert first == Question("mrc-0", "개관", context, "한빛관이 문을 연 해는?", answers, False, 1)
    assert (refused.answers, refused.impossible, refused.question_type) == ((), True, 3)
    assert second == Question("mrc-2", "사람", "  " + context, "관장은?", (("국민수", 26),), False, 2)
    assert TASK.reference(refused) == {"answers": []}


def hub_rows():
    """The same as the Hub has it: stripped, plausible answers among the others."""
    for article in document()["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                merged = asked["answers"] + asked.get("plausible_answers", [])
                yield {
                    "title": article["title"],
                    "context": paragraph["context"].strip(),
                    "news_category": article["news_category"],
                    "source": article["source"],
                    **{name: asked[name] for name in ("guid", "is_impossible", "question_type", "question")},
                    "answers": {
                        name: [answer[name] for answer in merged] for name in ("answer_start", "text")
                    },
                }


def test_the_hub_says_the_same():
    rows = list(hub_rows())
    found = [TASK.examples(Record(TASK.hub_record(row, "made-up"), "hub"))[0] for row in rows]
    first, refused, second = read(document())
    assert found[:2] == [first, refused]
    assert found[2] == Question(
        "mrc-2", "사람", second.context.strip(), "관장은?", (("국민수", 24),), False, 2
    )
    assert TASK.hub_record(rows[1], "made-up")["answers"] == []
    del rows[0]["guid"]
    assert TASK.examples(Record(TASK.hub_record(rows[0], "made-up"), "hub"))[0].guid == "made-up"


def spoiled(change):
    value = document()
    change(value["data"][0]["paragraphs"][0]["qas"][0], value["data"][0]["paragraphs"][0], value["data"][0])
    return value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q, p, a: q["answers"][1].update(answer_start=6), "mrc-0: the answer '2010' does not stand"),
        (lambda q, p, a: q["answers"][0].update(answer_start=5 - len(p["context"])), "mrc-0: the answer"),
        (lambda q, p, a: q["answers"][0].update(text=""), "mrc-0: the answer ''"),
        (lambda q, p, a: q["answers"][0].update(answer_start="5"), "mrc-0: the field 'answer_start' is '5'"),
        (lambda q, p, a: q["answers"][0].update(answer_start=True), "mrc-0: the field 'answer_start' is T"),
        (lambda q, p, a: q.update(answers=["2010"]), "mrc-0: the answer '2010' is no object"),
        (lambda q, p, a: q.update(answers=[]), "mrc-0: has no answer, yet"),
        (lambda q, p, a: q.update(answers={"text": []}), "mrc-0: the field 'answers'"),
        (lambda q, p, a: q.pop("answers"), "mrc-0: has no field 'answers'"),
        (lambda q, p, a: q.pop("is_impossible"), "mrc-0: has no field 'is_impossible'"),
        (lambda q, p, a: q.update(is_impossible=0), "mrc-0: the field 'is_impossible' is 0"),
        (lambda q, p, a: q.pop("question"), "mrc-0: has no field 'question'"),
        (lambda q, p, a: q.update(question_type=4), "mrc-0: the question_type is 4"),
        (lambda q, p, a: q.update(guid=7), "file.json: 7: the field 'guid'"),
        (lambda q, p, a: q.pop("guid"), "file.json: article 0: has no field 'guid'"),
        (lambda q, p, a: p.pop("context"), "mrc-0: the field 'context' is None"),
        (lambda q, p, a: p.pop("qas"), "article 0: has no field 'qas'"),
        (lambda q, p, a: p.update(qas=[3]), "article 0: the question 3 is no object"),
        (lambda q, p, a: a.pop("title"), "mrc-0: the field 'title' is None"),
        (lambda q, p, a: a.update(paragraphs=None), "article 0: the field 'paragraphs' is None"),
        (lambda q, p, a: a.update(paragraphs=[None]), "article 0: has no field 'qas'"),
    ],
)  # fmt: skip
def test_a_broken_entry_is_named(change, words):
    with pytest.raises(XPTError, match=words) as error:
        read(spoiled(change))
    assert "file.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "{}", '{"data": {}}', "3", "", '{"data": [', '{"data": [1]}'])
def test_what_is_no_such_file_is_said(text):
    with pytest.raises(XPTError, match=r"file\.json"):
        list(TASK.records(text, "file.json"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("가a{[ ", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "qas"]), inner),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_is_read_or_refused_with_the_file(data):
    value = holder = document()
    while True:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[key] = data.draw(JSON)
    else:
        del holder[key]
    try:
        examples = read(value)
    except XPTError as error:
        assert str(error).startswith("file.json")
    else:
        for example in examples:
            assert example.impossible or example.answers
            assert all(example.context[start:].startswith(text) and text for text, start in example.answers)


def test_a_prediction_is_a_text():
    (example, *_) = read(document())
    TASK.check_prediction(example, {"text": ""})
    for wrong in (None, 3, ["2010년"]):
        with pytest.raises(ValueError, match="no string"):
            TASK.check_prediction(example, {"text": wrong})


# ---- models ----------------------------------------------------------------------------------------------

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 64}
BART |= {f"{side}_{what}": number for side in ("encoder", "decoder") for what, number in
         (("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
FAMILIES = {
    "xpt": (XPTRobertaForMaskedLM, XPTRobertaConfig, {**SHAPE, "max_position_embeddings": 66}),
    "bert": (BertForMaskedLM, BertConfig, {**SHAPE, "max_position_embeddings": 64}),
    "gpt2": (GPT2LMHeadModel, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {**SHAPE, "num_key_value_heads": 4, "head_dim": 8}),
    "bart": (BartForConditionalGeneration, BartConfig, BART),
    "t5": (T5ForConditionalGeneration, T5Config, T5),
}  # fmt: skip


def backbone(family, folder):
    """A random model of the family with a tokenizer of bytes, opened."""
    torch.manual_seed(0)
    tokenizer = copy.deepcopy(make_tokenizer("bytes"))
    model_class, config_class, shape = FAMILIES[family]
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 0, "eos_token_id": 2}
    model = model_class(config_class(vocab_size=len(tokenizer), **shape, **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_backbone(str(folder)), model


def asked(count=8):
    """Questions about short contexts, every fourth of which cannot be answered."""
    found = []
    for index, context in enumerate(korean_sentences(count)):
        words = context.split()
        text, question = (words[0], "누가?") if index % 2 else (words[2], "무엇의?")
        answers = ((text, context.index(text)),) if index % 4 else ()
        question = question if answers else "왜?"
        found.append(Question(f"q{index}", "", context, question, answers, not answers, 1 if answers else 3))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_its_weights_learns_and_comes_back(family, tmp_path):
    opened, source = backbone(family, tmp_path / "source")
    model = TASK.build(opened)
    known = [parameter for parameter in source.parameters()]
    for name, parameter in model.named_parameters():
        if not name.startswith("qa_outputs"):
            assert any(parameter.shape == old.shape and torch.equal(parameter, old) for old in known), name
    reader, examples = opened.encoder_for(510), asked()
    assert reader.max_length == min(510, opened.max_positions or 510)
    features = TASK.features(examples, reader, training=True)
    batch = TASK.collate(features, reader)
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    model.train()(**batch).loss.backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for n, p in model.named_parameters() if "qa_" in n
    )
    model.eval()
    scored = TASK.collate(TASK.features(examples, reader, training=False), reader)
    with torch.no_grad():
        learned = model(**batch)
        losses = [
            torch.nn.functional.cross_entropy(learned[f"{side}_logits"], batch[f"{side}_positions"])
            for side in ("start", "end")
        ]
        assert learned.loss.item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)
        rows = TASK.outputs(model(**scored), scored)
        alone = TASK.collate([TASK.features(examples, reader, training=False)[0]], reader)
        single = TASK.outputs(model(**alone), alone)
        model.save_pretrained(tmp_path / "saved")
        again = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "saved").eval()
        for got, expected in zip(TASK.outputs(again(**scored), scored), rows, strict=True):
            assert np.array_equal(got, expected)
    assert [row.shape for row in rows] == [(2, len(feature.inputs["input_ids"])) for feature in features]
    np.testing.assert_allclose(single[0], rows[0], atol=1e-5)  # padding changes nothing


def test_a_tiny_model_learns_every_answer(tmp_path):
    opened, _ = backbone("xpt", tmp_path)
    reader, examples = opened.encoder_for(510), asked(12)
    model = TASK.build(opened)
    batch = TASK.collate(TASK.features(examples, reader, training=True), reader)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    features = TASK.features(examples, reader, training=False)
    scored = TASK.collate(features, reader)
    for _ in range(300):
        optimizer.zero_grad()
        loss = model.train()(**batch).loss
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
    with torch.no_grad():
        rows = TASK.outputs(model.eval()(**scored), scored)
    expected = [
        covered(reader.tokenizer, example.context, start, start + len(text))
        for example in examples
        for text, start in example.answers or (("", 0),)
    ]
    found = [line["text"] for line in TASK.predictions(examples, features, rows)]
    assert found == expected
    assert "" in found and len(set(found)) > 5
