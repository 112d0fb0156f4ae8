"""WoS: dialogues are read, become features, and perfect outputs become the states again."""

import copy
import json
import random
from functools import cache

import numpy as np
import pytest
import torch
from conftest import NOUNS, WHEN
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_tokenizers import KINDS, make_tokenizer
from learning import learned_by_heart
from placed import placed
from torch.nn.functional import cross_entropy
from transformers import (
    AlbertConfig,
    AutoModel,
    BartConfig,
    BertConfig,
    ElectraConfig,
    RobertaConfig,
    T5Config,
    set_seed,
)

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig
from xpt.finetune.backbone import open_backbone
from xpt.finetune.batches import IGNORED_LABEL
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.heads import state_generator
from xpt.finetune.heads.state_generator import GATES, POINTER, DialogueStateGenerator
from xpt.finetune.klue.dialogue import SLOTS, DialogueText
from xpt.finetune.klue.wos import WoS
from xpt.program.errors import XPTError

TASK, FILE, STEPS = WoS(), "wos-v1.1_dev.json", 10
FIXED = ("dontcare", "yes", "no")  # values that a gate says by itself
FIRST = ["식당-지역-서울 중앙", "식당-종류-한식당"]
RECORD = {
    "guid": "wos-v1_dev_00007",
    "domains": ["식당"],
    "dialogue": [
        {"role": "user", "text": "서울 중앙의 한식당을 찾아주세요.", "state": FIRST},
        {"role": "sys", "text": "예약할까요?"},
        {"role": "user", "text": "7시로요.", "state": [*FIRST, "식당-예약 시간-19:00"]},
        {"role": "sys", "text": "했습니다."},
        {
            "role": "user",
            "text": "주차는요?",
            "state": [*FIRST, "식당-예약 시간-19:00", "식당-주차 가능-yes"],
        },
        {"role": "sys", "text": "됩니다. 👍"},
    ],
}


def read(*dialogues):
    """Examples of dialogues as an official file holds them."""
    text = json.dumps(list(dialogues), ensure_ascii=False)
    return [example for record in TASK.records(text, FILE) for example in TASK.examples(record)]


def spoken(*turns, guid="wos-v1_dev_00000"):
    """A dialogue of (system's words, user's words, state)."""
    utterances = []
    for number, (system, user, state) in enumerate(turns):
        utterances += [{"role": "sys", "text": system}] if number else []
        utterances.append({"role": "user", "text": user, "state": state})
    return {"guid": guid, "domains": [], "dialogue": utterances}


@cache
def encoder(kind, max_length=510, token_types=False):
    return TextEncoder(make_tokenizer(kind), max_length, token_types)


def perfect(features, steps=STEPS):
    """What a faultless model says in `steps` steps: the features' own gates and targets."""
    outputs = []
    for feature in features:
        targets = np.asarray(feature.inputs["target_ids"])[:, :steps]
        outputs.append((np.asarray(feature.inputs["gate_ids"]), targets))
    return [(gates, np.where(ids == IGNORED_LABEL, 0, ids)) for gates, ids in outputs]


def said(examples, kind, **encoding):
    features = TASK.features(examples, encoder(kind, **encoding), training=False)
    return TASK.predictions(examples, features, perfect(features))


# ---- reading ---------------------------------------------------------------------------------------------


def test_the_slots_are_45_and_sorted():
    assert len(set(SLOTS)) == 45 and list(SLOTS) == sorted(SLOTS)
    assert {slot.split("-")[0] for slot in SLOTS} == {"관광", "숙소", "식당", "지하철", "택시"}


def test_an_example_is_a_turn_of_the_user_and_what_was_said_before():
    first, second, third = read(RECORD)
    texts = [utterance["text"] for utterance in RECORD["dialogue"]]
    assert (first.history, first.system, first.user) == ((), "", texts[0])
    assert (second.history, second.system, second.user) == ((texts[0],), texts[1], texts[2])
    assert (third.history, third.system, third.user) == (tuple(texts[:3]), texts[3], texts[4])
    assert [example.key for example in (first, second, third)] == [
        (RECORD["guid"], turn) for turn in range(3)
    ]
    assert TASK.reference(second) == {"state": [*FIRST, "식당-예약 시간-19:00"]}
    assert len(TASK.key_fields) == len(first.key)


def test_rows_of_the_hub_give_the_same_examples():
    utterances = [utterance | {"state": utterance.get("state", [])} for utterance in RECORD["dialogue"]]
    row = TASK.hub_record({**RECORD, "dialogue": utterances}, "given")
    assert read(row) == read(RECORD)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.booleans())
def test_there_is_an_example_for_each_turn_of_the_user(turns, answered):
    record = spoken(*(("네", "그럼", ["식당-이름-집-둘"] if full else []) for full in turns))
    record["dialogue"] += [{"role": "sys", "text": "끝"}] if answered else []
    examples = read(record)
    assert [example.turn for example in examples] == list(range(len(turns)))
    assert [example.values for example in examples] == [
        {"식당-이름": "집-둘"} if full else {} for full in turns
    ]


def changed(**fields):
    """The record with the second of the user's turns changed; a field that is None is taken away."""
    utterances = [dict(utterance) for utterance in RECORD["dialogue"]]
    utterances[2] = {name: value for name, value in {**utterances[2], **fields}.items() if value is not None}
    return {**RECORD, "dialogue": utterances}


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (changed(role="sys"), "turn 1: the role is 'sys'"),
        (changed(role="assistant"), "turn 1: the role is 'assistant'"),
        ({**RECORD, "dialogue": RECORD["dialogue"][1:]}, "turn 0: the role is 'sys'"),
        (changed(state=None), "turn 1: has no field 'state'"),
        (changed(text=None), "turn 1: has no field 'text'"),
        (changed(text=7), "turn 1: the field 'text'"),
        (changed(state="식당-이름-집"), "turn 1: the field 'state'"),
        (changed(state=["식당-이름"]), "turn 1: '식당-이름' is no"),
        (changed(state=["식당-이름-"]), "turn 1: '식당-이름-' is no"),
        (changed(state=["식당-이름- "]), "turn 1: '식당-이름- ' is no"),
        (changed(state=["식당-별점-5"]), "turn 1: '식당-별점-5' is no"),
        (changed(state=[["식당", "이름", "집"]]), "turn 1: ['식당', '이름', '집'] is no"),
        (changed(state=["식당-이름-집", "식당-이름-방"]), "turn 1: the state has '식당-이름' twice"),
        ({**RECORD, "dialogue": [{**u, "state": FIRST} for u in RECORD["dialogue"]]}, "turn 0: the system's"),
        ({**RECORD, "dialogue": []}, "the dialogue is empty"),
        ({**RECORD, "dialogue": {"role": ["user"]}}, "the field 'dialogue'"),
        ({**RECORD, "dialogue": ["안녕"]}, "turn 0: has no field 'role'"),
    ],
)
def test_what_is_no_dialogue_is_named(record, what):
    with pytest.raises(XPTError) as error:
        read(record)
    assert f"{FILE}: {RECORD['guid']}: {what}" in str(error.value) and "\n" not in str(error.value)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_record_is_an_error_with_its_place_or_is_read(data):
    record = json.loads(json.dumps(RECORD))
    holder = record
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    junk = st.sampled_from(
        [None, 0, True, 1.5, "", "식당-이름", "-", [], {}, ["user"], {"role": "user"}, "delete"]
    )
    value = data.draw(junk)
    if value == "delete":
        del holder[key]
    else:
        holder[key] = value
    try:
        assert all(example.user is not None for example in read(record))
    except XPTError as error:
        assert str(error).startswith(FILE)


# ---- features --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_dialogue_is_laid_out_as_by_the_benchmark(kind):
    tokenizer, examples = make_tokenizer(kind), read(RECORD)
    lead = " " if kind == "bytes" else ""
    ids = [
        tokenizer(lead + utterance["text"], add_special_tokens=False)["input_ids"]
        for utterance in RECORD["dialogue"]
    ]
    cls, sep = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    features = TASK.features(examples, encoder(kind), training=True)
    assert features[0].inputs["input_ids"] == [*cls, *sep, *sep, *ids[0], *sep]
    assert features[1].inputs["input_ids"] == [*cls, *sep, *ids[0], *sep, *ids[1], *sep, *ids[2], *sep]
    older = [*sep, *ids[0], *sep, *ids[1], *sep, *ids[2]]
    assert features[2].inputs["input_ids"] == [*cls, *older, *sep, *ids[3], *sep, *ids[4], *sep]
    assert "token_type_ids" not in features[0].inputs
    assert [feature.example for feature in features] == [0, 1, 2]


def test_all_token_types_are_0_where_the_model_has_types():
    for feature in TASK.features(read(RECORD), encoder("wordpiece", token_types=True), training=True):
        assert feature.inputs["token_type_ids"] == [0] * len(feature.inputs["input_ids"])


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 40), st.sampled_from(KINDS))
def test_a_long_dialogue_loses_its_oldest_tokens(length, kind):
    whole = TASK.features(read(RECORD), encoder(kind), training=True)
    cut = TASK.features(read(RECORD), encoder(kind, max_length=length), training=True)
    for long, short in zip(whole, cut, strict=True):
        expected = long.inputs["input_ids"]
        if len(expected) > length:
            expected = [expected[0], *expected[len(expected) - length + 1 :]]
        assert short.inputs["input_ids"] == expected
        assert (short.inputs["target_ids"] == long.inputs["target_ids"]).all()


def test_targets_are_the_tokens_of_values_and_none():
    example = read(spoken(("", "네", ["식당-이름-국회 정보", "식당-주차 가능-no", "식당-지역-dontcare"])))
    example += read(spoken(("", "네", ["식당-이름-ptr", "숙소-스파 유무-yes", "숙소-이름-none"])))
    tokenizer = make_tokenizer("wordpiece")
    features = TASK.features(example, encoder("wordpiece"), training=True)
    for feature, turn in zip(features, example, strict=True):
        assert feature.inputs["target_ids"].shape[0] == len(feature.inputs["gate_ids"]) == 45
        for slot, row in zip(SLOTS, feature.inputs["target_ids"].tolist(), strict=True):
            ids = tokenizer(turn.values.get(slot, "none"), add_special_tokens=False)["input_ids"]
            expected = [*ids, tokenizer.sep_token_id]
            assert row == [*expected, *[IGNORED_LABEL] * (len(row) - len(expected))]
    gates = [dict(zip(SLOTS, feature.inputs["gate_ids"], strict=True)) for feature in features]
    assert {slot: gate for slot, gate in gates[0].items() if gate} == {
        "식당-이름": 2,
        "식당-주차 가능": 4,
        "식당-지역": 1,
    }
    assert {slot: gate for slot, gate in gates[1].items() if gate} == {"식당-이름": 2, "숙소-스파 유무": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_has_the_tokens_that_it_has_inside_of_utterances(kind):
    text = DialogueText(encoder(kind))
    for value in [*NOUNS[:40], *(f"{when} {noun}" for when, noun in zip(WHEN, NOUNS[50:], strict=False))]:
        [ids] = text.tokens([value])
        for before, after in ((f"{WHEN[0]} ", ""), ("", f" {WHEN[1]}"), ("", "")):
            [utterance] = text.tokens([before + value + after])
            places = range(len(utterance) - len(ids) + 1)
            assert any(utterance[place : place + len(ids)] == ids for place in places), (value, before, after)


# ---- predictions -----------------------------------------------------------------------------------------

WORDS = st.sampled_from([*NOUNS[:30], *WHEN, "7", "19:30", "FC", "Kim", "大韓", "國會", "번", "가"])
ODD = st.sampled_from(["😀", "👨‍👩‍👧", "👍️", "꿔", "각", "ＡＢ", "ﬁ", "é", "(서울)", "a.b", "뭐?", "it's"])
GLUE = st.sampled_from(["", " ", "  ", ", ", ":", " : ", ",", " & ", "-", "=", "\u00a0", "\u3000", "("])
VALUES = st.one_of(
    st.sampled_from([*FIXED, "none", "ptr"]),
    st.lists(st.one_of(WORDS, WORDS, ODD, GLUE), min_size=1, max_size=6).map("".join).map(str.strip),
    st.lists(WORDS, min_size=1, max_size=3).map(" ".join),
).filter(bool)
STATES = st.dictionaries(st.sampled_from(SLOTS), VALUES, max_size=5)


def recoverable(value, kind, steps=STEPS):
    """Whether tokens keep a value whole, from what each covers of it: no model of ours has a part in it."""
    if value in FIXED:
        return True
    tokenizer = make_tokenizer(kind)
    encoded = tokenizer(
        (" " if kind == "bytes" else "") + value, add_special_tokens=False, return_offsets_mapping=True
    )
    normalizer = tokenizer.backend_tokenizer.normalizer
    changed = kind == "wordpiece" and normalizer.normalize_str(value).split() != value.split()
    changed |= kind == "metaspace" and normalizer.normalize_str(value) != value
    if value == "none" or changed or len(encoded["input_ids"]) > steps:
        return False
    if set(encoded["input_ids"]) & set(tokenizer.all_special_ids):
        return False
    return kind != "wordpiece" or spaced(value, encoded) == value


def spaced(value, encoded):
    """A value as WordPiece tokens keep it: a blank before each word or mark, but where it is known better."""
    text = ""
    for token, (start, end) in zip(encoded.tokens(), encoded["offset_mapping"], strict=True):
        text += (" " if text and not token.startswith("##") else "") + value[start:end]
    for mark in ".?!,":
        text = text.replace(f" {mark}", mark)
    for ending in ("'s", "'m", "'ve", "'re", "n't"):
        text = text.replace(f" {ending}", ending)
    return text.replace(" ' ", "'").replace(" : ", ":")


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KINDS), st.lists(STATES, min_size=1, max_size=3))
def test_perfect_outputs_give_the_state_as_far_as_tokens_keep_it(kind, states):
    dialogue = spoken(*(("네", "음", [f"{s}-{v}" for s, v in state.items()]) for state in states))
    lines = said(read(dialogue), kind)
    assert [(line["guid"], line["turn"]) for line in lines] == [
        (dialogue["guid"], t) for t in range(len(states))
    ]
    for state, line in zip(states, lines, strict=True):
        gold = {f"{slot}-{value}" for slot, value in state.items()}
        kept = {f"{slot}-{value}" for slot, value in state.items() if recoverable(value, kind)}
        assert set(line["state"]) & gold == kept
        assert len(line["state"]) == sum(value != "none" for value in state.values())


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(SLOTS),
        st.text("".join(sorted({*"".join(NOUNS), *" :,()0123456789"})), max_size=9)
        .map(str.strip)
        .filter(bool),
        max_size=9,
    )
)
def test_all_of_it_comes_back_with_a_token_a_character(state):
    gold = [f"{slot}-{value}" for slot, value in sorted(state.items())]
    [line] = said(read(spoken(("", "음", gold))), "character")
    assert line["state"] == gold


@pytest.mark.parametrize("kind", ["bytes", "metaspace"])
def test_blanks_around_marks_stay_where_tokens_keep_them(kind):
    value = "3 : 1 , 2"
    ids = DialogueText(encoder(kind)).tokens([value])[0]
    assert DialogueText(encoder(kind)).value([*ids, make_tokenizer(kind).sep_token_id, *ids]) == value


def test_blanks_around_marks_are_repaired_where_tokens_forget_them():
    text = DialogueText(encoder("wordpiece"))
    for value in ("19:30", "국회, 정보"):
        assert text.value(text.tokens([value])[0]) == value


@given(st.sampled_from([7, None, "식당-이름-집", [7], ["집", None], {"식당": 1}]))
def test_a_prediction_is_a_list_of_texts(state):
    [example, *_] = read(RECORD)
    TASK.check_prediction(example, {"state": ["무엇이든", *FIRST]})
    with pytest.raises(ValueError, match="no list"):
        TASK.check_prediction(example, {"state": state})


# ---- the generator ---------------------------------------------------------------------------------------

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
PLACES, NAMES = ("국법", "법경", "정문", "기보"), ("국보", "법산", "회제", "보시")
BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4}
BART |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
FAMILIES = {
    "xpt": lambda **f: XPTRobertaConfig(**{**SMALL, **f}, type_vocab_size=1, max_position_embeddings=202),
    "trelm": lambda **f: TreLMRobertaConfig(**{**SMALL, **f}, type_vocab_size=1, max_position_embeddings=202),
    "roberta": lambda **f: RobertaConfig(**{**SMALL, **f}, type_vocab_size=1, max_position_embeddings=202),
    "bert": lambda **f: BertConfig(**SMALL, max_position_embeddings=200, **f),
    "electra": lambda **f: ElectraConfig(**SMALL, embedding_size=16, max_position_embeddings=200, **f),
    "albert": lambda **f: AlbertConfig(**SMALL, embedding_size=16, max_position_embeddings=200, **f),
    "bart": lambda **f: BartConfig(**BART, max_position_embeddings=200, **f),
    "t5": lambda **f: T5Config(d_model=32, d_ff=48, d_kv=8, num_layers=2, num_heads=4, **f),
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Give `backbone(family, kind, grown=0)` an opened random model; its vocabulary lacks `grown` tokens."""

    def make(family, kind="wordpiece", grown=0):
        tokenizer = make_tokenizer(kind)
        set_seed(5)
        fields = {"vocab_size": len(tokenizer) - grown, "pad_token_id": tokenizer.pad_token_id}
        model = AutoModel.from_config(FAMILIES[family](**fields))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        folder = tmp_path_factory.mktemp(family)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return open_backbone(str(folder))

    return make


def batched(opened, dialogues, **changes):
    """(generator, examples, features, batch); no dropout, weights far from those of a new head."""
    model = TASK.build(opened)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("encoder."):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for field, value in changes.items():
        setattr(model.config, field, value)
    examples = read(*dialogues)
    text = opened.encoder_for(60)
    features = TASK.features(examples, text, training=True)
    return model, examples, features, TASK.collate(features, text)


DIALOGUES = [
    RECORD,
    spoken(("", "국회에 가요", ["택시-도착지-국회", "택시-종류-dontcare"]), ("네", "끝", [])),
]


def plainly(model, batch, forced, steps):
    """Loss, gate logits and likeliest tokens (batch, slots, steps), by whole distributions, slot by slot."""
    embed = model.get_input_embeddings()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    read = model.encoder(**{k: v for k, v in batch.items() if k not in ("target_ids", "gate_ids")})
    if model.pooler is None:
        pooled = read.pooler_output
    else:
        pooled = (read.last_hidden_state[:, 0] @ model.pooler.weight.T + model.pooler.bias).tanh()
    gates, tokens, nll, counted = [], [], 0.0, 0
    for row, slot in np.ndindex(len(ids), 45):
        states = read.last_hidden_state[row, : mask[row].sum()]
        copies = torch.zeros(len(states), embed.weight.shape[0])
        copies[range(len(states)), ids[row, : len(states)]] = 1.0
        word = model.widened(embed(torch.tensor(model.config.slot_ids[slot]))).sum(dim=0)
        hidden, said = pooled[row], []
        for step in range(steps):
            hidden = model.cell(word[None], hidden[None])[0]
            attention = (states @ hidden).softmax(dim=0)
            context = attention @ states
            write = model.writing(torch.cat([word, hidden, context])).sigmoid()
            vocabulary = (embed.weight @ model.narrowed(hidden)).softmax(dim=0)
            mixture = write * vocabulary + (1 - write) * (attention @ copies)
            gates += [model.gate(context)] if step == 0 else []
            said.append(mixture.argmax())
            targets = batch["target_ids"][row, slot]
            target = targets[step] if step < len(targets) else torch.tensor(IGNORED_LABEL)
            if target != IGNORED_LABEL:
                nll, counted = nll - mixture[target].log(), counted + 1
            word = model.widened(embed(target.long().clamp_min(0) if forced else said[-1]))
        tokens.append(torch.stack(said))
    gates, tokens = torch.stack(gates).view(len(ids), 45, -1), torch.stack(tokens).view(len(ids), 45, -1)
    loss = nll / counted + cross_entropy(gates.flatten(0, 1), batch["gate_ids"].flatten())
    return loss, gates, tokens


def gradient(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize(("family", "share"), [("xpt", 1.0), ("bert", 0.0), ("electra", 0.0)])
def test_loss_and_gradient_are_those_of_whole_distributions(backbone, family, share, monkeypatch):
    model, _, _, batch = batched(backbone(family), DIALOGUES, teacher_forcing=share)
    monkeypatch.setattr(state_generator, "LOGITS_AT_ONCE", 7 * 800)  # seven rows at a time
    output = model.train()(**batch)
    loss, gates, _ = plainly(model, batch, bool(share), batch["target_ids"].shape[-1])
    torch.testing.assert_close(output.gate_logits, gates, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.loss, loss, rtol=1e-5, atol=1e-5)
    assert output.generated is None
    torch.testing.assert_close(gradient(model, output.loss), gradient(model, loss), rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("family", ["xpt", "albert"])
def test_values_are_those_of_whole_distributions_for_all_slots(backbone, family):
    model, examples, features, batch = batched(backbone(family), DIALOGUES)
    model.eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(5.0)
        model.writing.bias += 3.0  # so that not all tokens are copied
        logits = model(**batch).gate_logits
        others = [gate for gate in range(len(GATES)) if gate != POINTER]
        ahead = logits[..., others].max(dim=-1).values - logits[..., POINTER]
        model.gate.bias[POINTER] += ahead.mean()  # some of the slots are to be copied
        output = model(**batch)
        _, gates, tokens = plainly(model, batch, False, STEPS)
    copied = gates.argmax(dim=-1) == POINTER
    assert 0 < copied.sum() < copied.numel()
    new = (batch["input_ids"][:, None, None] != tokens[..., None]).all(dim=-1)[copied]
    assert 0 < new.sum() < new.numel()
    every = [(gate, ids) for gate, ids in zip(gates.argmax(dim=-1).numpy(), tokens.numpy(), strict=True)]
    lines = TASK.predictions(examples, features, TASK.outputs(output, batch))
    assert lines == TASK.predictions(examples, features, every)
    assert any(line["state"] for line in lines)
    for separator in (model.config.separator_id, tokens[copied][:, 3].mode().values.item()):
        model.config.separator_id = separator
        with torch.no_grad():
            output = model(**batch)
        for got, expected in zip(output.generated[copied].tolist(), tokens[copied].tolist(), strict=True):
            end = expected.index(separator) if separator in expected else STEPS
            assert got == [*expected[:end], *[separator] * (STEPS - end)]
    without = model(**{name: batch[name] for name in batch if name not in ("target_ids", "gate_ids")})
    assert without.loss is None and without.generated.equal(output.generated)


def test_padding_changes_nothing(backbone):
    opened = backbone("xpt")
    model, _, features, batch = batched(opened, DIALOGUES)
    model.eval()
    together = model(**batch)
    for row, feature in enumerate(features):
        alone = model(**TASK.collate([feature], opened.encoder_for(60)))
        torch.testing.assert_close(alone.gate_logits[0], together.gate_logits[row], rtol=1e-4, atol=1e-5)
        assert alone.generated[0].equal(together.generated[row])


def test_teacher_forcing_is_drawn_from_torch_alone_and_never_in_evaluation(backbone):
    model, _, _, batch = batched(backbone("xpt"), [DIALOGUES[1]])
    losses = {share: [] for share in (0.0, 0.5, 1.0)}
    for share, found in losses.items():
        model.config.teacher_forcing = share
        torch.manual_seed(3)
        random.seed(len(losses))
        found += [model.train()(**batch).loss.item() for _ in range(12)]
    assert losses[0.0][0] != losses[1.0][0] and set(losses[0.5]) == {losses[0.0][0], losses[1.0][0]}
    torch.manual_seed(3)
    random.seed(99)
    model.config.teacher_forcing = 0.5
    assert [model(**batch).loss.item() for _ in range(12)] == losses[0.5]
    state = torch.get_rng_state()
    assert model.eval()(**batch).loss.item() == pytest.approx(losses[1.0][0], rel=1e-6)
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_saves_and_loads(backbone, family, tmp_path):
    opened = backbone(family, grown=3)
    model, _, _, batch = batched(opened, DIALOGUES)
    given = AutoModel.from_pretrained(opened.name)
    given = given.get_encoder() if opened.config.is_encoder_decoder else given
    for name, tensor in given.state_dict().items():  # the embeddings have grown by rows
        assert tensor.equal(model.encoder.state_dict()[name][: len(tensor)]), name
    assert len(model.get_input_embeddings().weight) == len(opened.tokenizer)
    assert ("token_type_ids" in batch) == opened.token_types
    found = gradient(model, model.train()(**batch).loss)
    assert found.isfinite().all() and found.abs().sum() > 0
    assert all(p.grad is not None for name, p in model.named_parameters() if not name.startswith("encoder."))
    placed(model).eval()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(**batch)
        for kind in (DialogueStateGenerator, AutoModel):
            loaded = placed(kind.from_pretrained(tmp_path)).eval()
            assert type(loaded) is DialogueStateGenerator
            assert loaded.config.slot_ids == model.config.slot_ids
            own = loaded.state_dict()
            assert own.keys() == model.state_dict().keys()
            assert all(tensor.equal(own[name]) for name, tensor in model.state_dict().items())
            output = loaded(**batch)
            assert output.loss.equal(expected.loss) and output.generated.equal(expected.generated)


def test_a_slot_is_the_sum_of_its_words(backbone):
    opened = backbone("bert")
    model = TASK.build(opened)
    for slot, ids in zip(SLOTS, model.config.slot_ids, strict=True):
        expected = opened.tokenizer(slot.replace("-", " "), add_special_tokens=False)["input_ids"]
        assert ids == [*expected, *[opened.tokenizer.pad_token_id] * (len(ids) - len(expected))]
    assert model.config.separator_id == opened.tokenizer.sep_token_id and len(GATES) == 5


@pytest.mark.learned
def test_a_tiny_model_learns_the_states_of_a_few_dialogues(tmp_path):
    tokenizer = copy.deepcopy(make_tokenizer("character"))
    tokenizer.add_tokens(sorted({*"".join(SLOTS)} - set(tokenizer.get_vocab())))  # else slots look the same
    tokenizer.add_tokens(["none", *FIXED])  # one step instead of many
    dialogues = []
    for number, (place, name) in enumerate(zip(PLACES, NAMES, strict=True)):
        first = [f"식당-지역-{place}", ("식당-가격대-dontcare", "식당-주차 가능-yes")[number % 2]]
        second = [f"식당-지역-{place}", f"식당-이름-{name}"]
        turns = (("", f"{place}에 있는 식당", first), ("어디요?", f"{name} 옆", second))
        dialogues.append(spoken(*turns, guid=f"wos-v1_train_{number:05d}"))
    set_seed(5)
    shape = {"hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 128}
    shape |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bare = AutoModel.from_config(
        FAMILIES["xpt"](**shape, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    )
    torch.nn.init.normal_(bare.get_input_embeddings().weight)
    torch.nn.init.normal_(bare.embeddings.position_embeddings.weight)
    bare.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened = open_backbone(str(tmp_path))
    model = TASK.build(opened)
    examples, text = read(*dialogues), opened.encoder_for(64)
    features = TASK.features(examples, text, training=True)
    batch = TASK.collate(features, text)
    gold = [sorted(example.state) for example in examples]

    def knows(output):
        lines = TASK.predictions(examples, features, TASK.outputs(output, batch))
        return [sorted(line["state"]) for line in lines] == gold

    assert learned_by_heart(model, batch, knows, rate=2e-3)


def test_the_recoverable_are_some_and_not_all():
    """The ceiling's test says something: for each kind but bytes some odd value is lost, and some kept."""
    for kind in KINDS:
        kept = [
            recoverable(value, kind)
            for value in ("국회", "가 국회", "꿔  각ＡＢ😀", "국회 정부 교육 연구 경제 문화")
        ]
        assert kept[0] and not all(kept)
