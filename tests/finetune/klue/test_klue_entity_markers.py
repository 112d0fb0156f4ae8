"""Markers of entities stand between tokens and change no word, whatever the tokenizer; windows keep them."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import example as given_example
from hypothesis import strategies as st
from klue_texts import texts
from klue_tokenizers import make_tokenizer
from marked_tokenizers import TOKENIZERS, copied
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from xpt.finetune.encoding import TextEncoder
from xpt.finetune.klue.entity_markers import cut_around
from xpt.finetune.klue.re import ENTITY_TYPES, RE, Entity, RelatedEntities
from xpt.finetune.task import Options
from xpt.program.errors import XPTError

PLAIN = ("<subj>", "</subj>", "<obj>", "</obj>")


@st.composite
def related(draw, **sizes):
    """A text and two entities of it, anywhere: at its ends, side by side, of blanks, inside of words."""
    text = draw(texts(**sizes))
    assume(len(text) > 1)
    places = sorted(draw(st.sets(st.integers(0, len(text)), min_size=3, max_size=4)))
    first, second = (places[0], places[1]), (places[-2], places[-1])
    one, other = draw(st.permutations([first, second]))
    types = st.sampled_from(ENTITY_TYPES)
    return RelatedEntities("g", text, Entity(*one, draw(types)), Entity(*other, draw(types)), "per:title")


def parts(example, encoder, task=None):
    """The five pieces of text around the markers, each with its tokens; the markers' order is checked."""
    task = task or RE()
    (feature,) = task.features([example], encoder, training=False)
    ids = feature.inputs["input_ids"]
    frame = encoder.single
    ids = ids[len(frame.before) : len(ids) - len(frame.after)]
    places = [("subj", example.subject), ("obj", example.object)]
    (left, one), (right, other) = sorted(places, key=lambda place: place[1].start)
    expected = [f"<{left}>", f"</{left}>", f"<{right}>", f"</{right}>"]
    tokens = encoder.tokenizer.convert_ids_to_tokens(ids)
    at = [index for index, token in enumerate(tokens) if token in task.markers]
    assert [tokens[index].partition(":")[0].rstrip(">") + ">" for index in at] == expected
    edges = [0, one.start, one.end, other.start, other.end, len(example.sentence)]
    begins, ends = [0, *(index + 1 for index in at)], [*at, len(tokens)]
    spans = zip(edges, edges[1:], begins, ends, strict=False)
    return [(example.sentence[a:b], tokens[begin:end]) for a, b, begin, end in spans]


def pattern(kind, tokens, tokenizer):
    """A regular expression of what tokens spell; an unknown one spells anything."""
    if kind.startswith("bytes"):
        return re.escape(tokenizer.backend_tokenizer.decoder.decode(tokens))
    unknown = ".?" if kind == "character" else ".+"  # a blank that it does not know is a token, too
    spelled = [
        unknown if token in ("<unk>", "[UNK]") else re.escape(token.removeprefix("##")) for token in tokens
    ]
    return "".join(spelled).replace("▁", " ")


def spelled(kind, text):
    """A text as its tokens spell it."""
    if kind == "character" or kind.startswith("bytes"):
        return text
    text = make_tokenizer(kind).backend_tokenizer.normalizer.normalize_str(text)
    return text if kind.startswith("metaspace") else "".join(text.split())


def bare(text):
    return re.sub(r"\s+", "", text)


@settings(max_examples=100, deadline=None)
@given(related(), st.sampled_from(sorted(TOKENIZERS)))
@given_example(
    RelatedEntities("g", "大韓民國은", Entity(0, 2, "LOC"), Entity(2, 4, "LOC"), "per:title"), "metaspace"
)
@given_example(
    RelatedEntities("g", "서울e\u0301", Entity(0, 1, "LOC"), Entity(1, 2, "LOC"), "per:title"), "wordpiece"
)
def test_tokens_between_markers_spell_what_stands_there(example, name):
    tokenizer, kind = TOKENIZERS[name], name.partition(",")[0]
    found = parts(example, TextEncoder(tokenizer, 512, token_types=False))
    assume(_whole_letters(kind, example.sentence, found))
    for text, tokens in found:
        want = bare(spelled(kind, text))
        got = pattern(kind, tokens, tokenizer)
        got = re.sub(r"(\\)?\s", "", got)  # blanks stand before words: who has them is told below
        assert re.fullmatch(got, want, re.DOTALL), (text, tokens)


def _whole_letters(kind, text, found):
    """Whether no boundary stands inside of what the tokenizer composes to one letter."""
    return bare(spelled(kind, text)) == bare("".join(spelled(kind, part) for part, _ in found))


@settings(max_examples=100, deadline=None)
@given(related(), st.sampled_from(sorted(TOKENIZERS)))
@given_example(
    RelatedEntities("g", "\u200b에서", Entity(0, 1, "LOC"), Entity(1, 2, "LOC"), "per:title"), "metaspace"
)
def test_words_begin_where_they_began(example, name):
    """Marks of words are neither made nor lost: without markers the tokens spell the text with its blanks."""
    tokenizer, kind = TOKENIZERS[name], name.partition(",")[0]
    assume(kind != "wordpiece")
    found = parts(example, TextEncoder(tokenizer, 512, token_types=False))
    text = spelled(kind, example.sentence)
    assume(_whole_letters(kind, example.sentence, found))
    tokens = [token for _, tokens in found for token in tokens]
    front = " " if name not in ("bytes", "character") and text[:1] != " " else ""
    plain = tokenizer.tokenize(example.sentence)
    assume(re.fullmatch(pattern(kind, plain, tokenizer), front + text, re.DOTALL))  # true of the whole text
    assert re.fullmatch(pattern(kind, tokens, tokenizer), front + text, re.DOTALL), (tokens, plain)


@settings(max_examples=200, deadline=None)
@given(related())
def test_wordpieces_continue_words_and_only_words(example):
    found = parts(example, TextEncoder(TOKENIZERS["wordpiece"], 512, token_types=False))
    before = ""
    for text, tokens in found:
        if before and text and tokens and tokens[0] != "[UNK]":
            syllables = all("가" <= letter <= "힣" for letter in (before[-1], text[0]))
            apart = before[-1] == " " or text[0] in " (),.'" or before[-1] in "(),.'"
            if syllables or apart:
                assert tokens[0].startswith("##") == syllables, (before, text, tokens)
        before += text


@settings(max_examples=100, deadline=None)
@given(related(), st.sampled_from(sorted(TOKENIZERS)))
def test_tokens_that_no_boundary_divides_are_kept(example, name):
    tokenizer = TOKENIZERS[name]
    tokens = [
        token
        for _, tokens in parts(example, TextEncoder(tokenizer, 512, token_types=False))
        for token in tokens
    ]
    plain = tokenizer(example.sentence, add_special_tokens=False, return_offsets_mapping=True)
    names = tokenizer.convert_ids_to_tokens(plain["input_ids"])
    edges = {place for entity in (example.subject, example.object) for place in (entity.start, entity.end)}
    spans = [
        (end - len(example.sentence[start:end].lstrip()), start + len(example.sentence[start:end].rstrip()))
        for start, end in plain["offset_mapping"]
    ]
    for at, (start, end) in enumerate(spans):  # what is joined to a token's last letter is part of it
        after = spans[at + 1][0] if at + 1 < len(spans) else len(example.sentence)
        while start < end < after and not example.sentence[end].isspace():
            end += 1
        spans[at] = (start, end)
    cut = [at for at, (start, end) in enumerate(spans) if any(start < place < end for place in edges)]
    if not cut:
        assert tokens == names
        return
    low, high = min(spans[at][0] for at in cut), max(spans[at][1] for at in cut)
    for _ in names:  # what shares characters with it, and so on
        near = [span for span in spans if span[0] < high and span[1] > low]
        low, high = min([low, *(a for a, _ in near)]), max([high, *(b for _, b in near)])
    heads = [at for at, (start, end) in enumerate(spans, start=1) if start < end <= low]
    tails = [at for at, (start, end) in enumerate(spans) if high <= start < end]
    if heads:
        assert tokens[: heads[-1]] == names[: heads[-1]]
    if tails:
        assert tokens[tails[0] - len(names) :] == names[tails[0] :]


def tokens_of(kind, text, subject, object):
    spans = [Entity(text.index(word), text.index(word) + len(word), "PER") for word in (subject, object)]
    task = RE()
    encoder = TextEncoder(TOKENIZERS[kind], 512, token_types=False)
    (feature,) = task.features([RelatedEntities("g", text, *spans, "per:title")], encoder, training=False)
    return encoder.tokenizer.convert_ids_to_tokens(feature.inputs["input_ids"])[1:-1]


def test_markers_by_hand():
    assert tokens_of("metaspace", "서울대학교에서 國會는", "서울", "國會") == [
        *("<subj>", "▁서울", "</subj>", "대학교", "에서", "▁", "<obj>", "國", "會", "</obj>", "는")
    ]
    assert tokens_of("bytes", "서울 a", "서울", "a")[-4:] == ["Ġ", "<obj>", "a", "</obj>"]
    assert tokens_of("character", "뷁 法국", "法", "국") == [
        *("[UNK]", " ", "<subj>", "[UNK]", "</subj>", "<obj>", "국", "</obj>")
    ]


def test_wordpieces_by_hand():
    pieces = "[UNK] [CLS] [SEP] [PAD] 서울대 서울 대 ##대 ##는 국회는 국회 는 학 ##의 ##의원 원".split()
    backend = Tokenizer(models.WordPiece({piece: id for id, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    RE().prepare(tokenizer)

    def tokens(text, subject, object):
        spans = [Entity(text.index(word), text.index(word) + len(word), "PER") for word in (subject, object)]
        encoder = TextEncoder(tokenizer, 99, token_types=False)
        (feature,) = RE().features([RelatedEntities("g", text, *spans, "per:title")], encoder, training=False)
        return " ".join(tokenizer.convert_ids_to_tokens(feature.inputs["input_ids"]))

    assert tokens("서울대 국회는", "서울", "국회") == "<subj> 서울 </subj> ##대 <obj> 국회 </obj> ##는"
    assert tokens("서울대는(국회의원", "대", "국회의") == (
        "서울 <subj> ##대 </subj> ##는 [UNK] <obj> 국회 ##의 </obj> [UNK]"
    )
    assert tokens("서울학 국회의원", "서울", "국회") == "<subj> 서울 </subj> [UNK] <obj> 국회 </obj> ##의원"


def test_typed_markers_name_the_types_and_none_are_none():
    example = RelatedEntities("g", "정부는 국회", Entity(0, 2, "ORG"), Entity(4, 6, "LOC"), "per:title")
    task = RE(Options(entity_markers="typed"))
    tokenizer = copied("character", task=task)
    assert len(task.markers) == 24 == len(set(task.markers))
    assert len(tokenizer) == len(make_tokenizer("character")) + 24
    found = parts(example, TextEncoder(tokenizer, 512, token_types=False), task)
    assert [text for text, _ in found] == ["", "정부", "는 ", "국회", ""]
    (feature,) = task.features([example], TextEncoder(tokenizer, 512, token_types=False), training=True)
    tokens = tokenizer.convert_ids_to_tokens(feature.inputs["input_ids"])
    assert [token for token in tokens if token in task.markers] == [
        *("<subj:ORG>", "</subj:ORG>", "<obj:LOC>", "</obj:LOC>")
    ]
    plain = copied("character", task=RE(Options(entity_markers="none")))
    assert len(plain) == len(make_tokenizer("character"))
    (feature,) = RE(Options(entity_markers="none")).features(
        [example], TextEncoder(plain, 512, token_types=False), training=True
    )
    assert feature.inputs["input_ids"] == plain("정부는 국회")["input_ids"]
    with pytest.raises(XPTError, match="bold"):
        RE(Options(entity_markers="bold"))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_windows_keep_all_markers_where_they_fit(data):
    length = data.draw(st.integers(0, 60))
    places = sorted(data.draw(st.sets(st.integers(0, max(0, length - 1)), max_size=min(4, length))))
    capacity = data.draw(st.integers(0, 70))
    ids = [1000 + at if at in places else at for at in range(length)]
    kept = cut_around(ids, frozenset(1000 + at for at in places), capacity)
    assert len(kept) == min(capacity, length)
    begin = ids.index(kept[0]) if kept else 0
    assert kept == ids[begin : begin + len(kept)]
    if not places or places[-1] < capacity or places[-1] - places[0] >= capacity:
        assert begin == 0
    else:
        assert begin <= places[0] and places[-1] < begin + capacity
        ahead, behind = places[0] - begin, begin + capacity - 1 - places[-1]
        assert abs(ahead - behind) <= 1 or begin + capacity == length


def test_a_long_sentence_keeps_its_entities():
    text = "가" * 100 + "서울" + "나" * 10 + "국회" + "다" * 100
    example = RelatedEntities("g", text, Entity(112, 114, "LOC"), Entity(100, 102, "ORG"), "no_relation")
    task, encoder = RE(), TextEncoder(TOKENIZERS["character"], 40, token_types=False)
    (feature,) = task.features([example], encoder, training=True)
    tokens = encoder.tokenizer.convert_ids_to_tokens(feature.inputs["input_ids"])
    assert len(tokens) == 40 and [token for token in tokens if token in PLAIN] == [
        *("<obj>", "</obj>", "<subj>", "</subj>")
    ]
    early = RelatedEntities("g", text, Entity(0, 1, "LOC"), Entity(2, 3, "ORG"), "no_relation")
    (feature,) = task.features([early], encoder, training=True)
    whole = task.features(
        [early], TextEncoder(TOKENIZERS["character"], 512, token_types=False), training=True
    )
    assert feature.inputs["input_ids"][:-1] == whole[0].inputs["input_ids"][:39]  # cut at the end
