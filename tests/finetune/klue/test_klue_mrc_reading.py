"""MRC is read from official files and from the Hub's rows; what is broken is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpt.finetune.klue.mrc import MRC, Question
from xpt.finetune.task import Record
from xpt.program.errors import XPTError

TASK = MRC()


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
