"""DP: reading, words and their tokens, trees, the parser, and gold labels that come back as they went in."""

import copy
import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_tokenizers import KINDS, make_tokenizer
from learning import learned_by_heart
from placed import placed
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
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.heads.parser import (
    NO_WORD,
    DependencyParser,
    DependencyParserConfig,
    ParserHead,
    ParserOutput,
    predicted_heads,
)
from xpt.finetune.heads.trees import best_tree, cycle
from xpt.finetune.klue.dp import DP, LABELS, POS_TAGS, ParsedSentence
from xpt.finetune.task import Options, Record
from xpt.program.errors import XPTError

TOP = ["토큰 : \\t", "토큰 : \\n", "문장 : \\n\\n", "주석 : ##", "칼럼명 : INDEX\tWORD_FORM"]
ROWS = [
    ("1", "나는", "나 는", "NP+JX", "3", "NP_SBJ"),
    ("2", "'밥을", "' 밥 을", "SS+NNG+JKO", "3", "NP_OBJ"),
    ("3", "먹었다.", "먹 었 다 .", "VV+EP+EF+SF", "0", "VP"),
]
OTHER = [("1", "大韓", "大韓", "SH", "2", "NP"), ("2", "👍", "👍", "SW", "0", "X")]
CHARACTERS = ["가", "나", "학생", "서울", "大韓", "國", "Kim", "a", "7", "...", "#", "1,000", '"']
CHARACTERS += ["😀", "👨\u200d👩", "❤\ufe0f", "\u1112\u1161\u11ab", "e\u0301", "뷁", "ﬁ", "㎏", "Ⅳ", "\u200b"]
WORDS = st.lists(st.sampled_from([*CHARACTERS, "\u00a0", "\u3000"]), min_size=1, max_size=4).map("".join)
WORDS = WORDS.filter(lambda word: word.strip())


def file_text(*sentences) -> str:
    """An official file of sentences, each (guid, rows)."""
    blocks = ["\n".join([f"## {guid}\t문장", *("\t".join(row) for row in rows)]) for guid, rows in sentences]
    return "".join(f"## {line}\n" for line in TOP) + "\n\n".join(blocks) + "\n"


def read(text: str) -> list[ParsedSentence]:
    task = DP()
    return [example for record in task.records(text, "dp.tsv") for example in task.examples(record)]


def leads_to_root(heads, word) -> bool:
    """Whether `len(heads)` steps up from a word (from 1) end at the root."""
    for _ in heads:
        word = heads[word - 1] if word else 0
    return word == 0


@st.composite
def sentences(draw, longest=9):
    """A sentence of any words and tree."""
    words = draw(st.lists(WORDS, min_size=1, max_size=longest))
    order = draw(st.permutations(range(1, len(words) + 1)))
    heads = [0] * len(words)
    for place, word in enumerate(order):  # each hangs on one before it in the order, or the root
        heads[word - 1] = draw(st.sampled_from([0, *order[:place]]))
    tags = st.lists(st.sampled_from(POS_TAGS), min_size=len(words), max_size=len(words))
    labels = st.lists(st.sampled_from(LABELS), min_size=len(words), max_size=len(words))
    guid = f"dp-{draw(st.integers(0, 10**6))}"
    return ParsedSentence(guid, tuple(words), tuple(draw(tags)), tuple(heads), tuple(draw(labels)))


# ---- reading ---------------------------------------------------------------------------------------------


def test_an_official_file_becomes_sentences():
    first, second = read(file_text(("klue-dp-v1_dev_00000_wikitree ", ROWS), ("b", OTHER)))
    assert first == ParsedSentence(
        "klue-dp-v1_dev_00000_wikitree",
        ("나는", "'밥을", "먹었다."),
        ("JX", "JKO", "SF"),
        (3, 3, 0),
        ("NP_SBJ", "NP_OBJ", "VP"),
    )
    assert (second.guid, second.words, second.heads) == ("b", ("大韓", "👍"), (2, 0))
    assert DP().reference(first) == {"heads": [3, 3, 0], "deprels": ["NP_SBJ", "NP_OBJ", "VP"]}


def test_labels_and_tags_are_those_of_the_benchmark():
    assert (len(LABELS), len(set(LABELS)), len(POS_TAGS), len(set(POS_TAGS))) == (38, 38, 45, 45)
    assert [LABELS[index] for index in (0, 14, 15, 37)] == ["NP", "VP_SBJ", "VP_CMP", "NP_SVJ"]
    assert [POS_TAGS[index] for index in (0, 24, 25, 44)] == ["NNG", "JX", "EP", "NA"]


def test_two_roots_and_heads_to_the_left_are_read():
    rows = [(str(index + 1), "가", "가", "NNG", head, "NP") for index, head in enumerate("010")]
    assert read(file_text(("a", rows)))[0].heads == (0, 1, 0)


@pytest.mark.parametrize(
    ("row", "column", "value", "line"),
    [
        (1, 0, "3", 12),
        (1, 0, "둘", 12),
        (0, 1, " ", 11),
        (2, 3, "VV+EP+EF+", 13),
        (2, 3, "VV+XYZ", 13),
        (0, 4, "4", 11),
        (0, 4, "-1", 11),
        (0, 4, "1", 11),
        (0, 4, "３", 11),
        (0, 4, "3.0", 11),
        (2, 5, "VPP", 13),
        (1, 5, "", 12),
        (2, 4, "1", 11),  # nobody hangs on the root: the first word of the circle is named
        (1, 5, "NP\tVP", 12),
    ],
)
def test_a_wrong_cell_is_an_error_with_its_line(row, column, value, line):
    rows = [list(cells) for cells in ROWS]
    rows[row][column] = value
    with pytest.raises(XPTError, match=rf"^dp\.tsv.*line {line}\b") as caught:
        read(file_text(("ok", OTHER), ("a", rows)))
    assert "\n" not in str(caught.value)


ODD_CELLS = ["", "0", "1", "9", "-1", "1_0", "²", "9" * 5000, "NP", "\t", "## ", " ", "\n"]
ODD_CELLS = st.sampled_from(ODD_CELLS) | st.text(max_size=5)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_mangled_file_is_read_or_refused_by_name(data):
    lines = file_text(("ok", OTHER), ("a", ROWS)).split("\n")
    at = data.draw(st.integers(5, len(lines) - 1))
    cells = lines[at].split("\t")
    cell = data.draw(st.integers(0, len(cells) - 1))
    cells[cell] = data.draw(ODD_CELLS)
    lines[at : at + 1] = data.draw(st.sampled_from([["\t".join(cells)], [], [lines[at]] * 2]))
    try:
        found = read("\n".join(lines))
    except XPTError as error:
        assert re.match(r"dp\.tsv( line \d+)?: ", str(error))
        assert "\n" not in str(error)
    else:
        for example in found:
            assert all(leads_to_root(example.heads, word) for word in example.heads)
            assert set(example.deprels) <= set(LABELS) and set(example.pos) <= set(POS_TAGS)


def hub_row(**changes):
    names = ("index", "word_form", "lemma", "pos", "head", "deprel")
    columns = [list(cells) for cells in zip(*ROWS, strict=True)]
    return {"sentence": "나는", **dict(zip(names, columns, strict=True)), **changes}


@pytest.mark.parametrize("changes", [{}, {"index": [1, 2, 3], "head": [3, 3, 0]}, {"index": (1, 2, 3)}])
def test_a_row_of_the_hub_is_the_sentence_of_the_file(changes):
    task = DP()
    record = Record(task.hub_record(hub_row(**changes), "a"), "klue/klue: a")
    assert task.examples(record) == read(file_text(("a", ROWS)))


ODD = st.none() | st.integers(-1, 4) | st.text(max_size=3)
ODD = ODD | st.lists(ODD)


@given(st.sampled_from(["index", "word_form", "lemma", "pos", "head", "deprel"]), ODD)
@settings(max_examples=100, deadline=None)
def test_a_mangled_row_of_the_hub_is_refused_by_guid(field, value):
    task = DP()
    try:
        block = task.hub_record(hub_row(**{field: value}), "dp-7")
        examples = task.examples(Record(block, "klue/klue: dp-7"))
    except XPTError as error:
        assert "dp-7" in str(error)
    else:
        assert len(examples[0].words) == 3
        assert all(isinstance(cell, str) for cell in block.rows[0])


# ---- words and their tokens ------------------------------------------------------------------------------


def expected_tokens(words, tokenizer, capacity) -> list[tuple[int, int] | None]:
    """First and last token of each word by the raw offsets: tokens that cover some character of it that is no
    blank and are more than a word mark; None where none of the first `capacity` does."""
    encoded = tokenizer(" ".join(words), add_special_tokens=False, return_offsets_mapping=True)
    names = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    text, begin, found = " ".join(words), 0, []
    for word in words:
        characters = {at for at in range(begin, begin + len(word)) if not text[at].isspace()}
        tokens = [
            token
            for token, (start, end) in enumerate(encoded["offset_mapping"][:capacity])
            if characters & set(range(start, end)) and names[token].strip("▁Ġ ")
        ]
        found.append((min(tokens), max(tokens)) if tokens else None)
        begin += len(word) + 1
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(example=sentences(), length=st.integers(4, 40))
@settings(max_examples=40, deadline=None)
def test_words_are_read_at_their_first_and_last_token(kind, example, length):
    tokenizer = make_tokenizer(kind)
    encoder = TextEncoder(tokenizer, length, False)
    (feature,) = DP().features([example], encoder, training=True)
    inputs = feature.inputs
    assert len(inputs["input_ids"]) <= length
    whole = tokenizer(" ".join(example.words), truncation=True, max_length=length)["input_ids"]
    assert inputs["input_ids"] == whole
    last = len(whole) - 1  # what a word without a token is read as
    places = [
        (tokens[0] + 1, tokens[1] + 1) if tokens else (last, last)
        for tokens in expected_tokens(example.words, tokenizer, length - 2)
    ]
    assert list(zip(inputs["word_first"], inputs["word_last"], strict=True)) == places
    assert [POS_TAGS[index] for index in inputs["pos_ids"]] == list(example.pos)


def test_a_mark_on_its_own_is_no_words_first_token():
    """The ready tokenizer sets a mark before what it does not know, at the text's start as in its midst."""
    example = ParsedSentence("a", ("뷁은", "뷁은"), ("JX", "JX"), (2, 0), ("NP", "NP"))
    (feature,) = DP().features([example], TextEncoder(make_tokenizer("metaspace"), 20, False), training=True)
    tokens = make_tokenizer("metaspace").convert_ids_to_tokens(feature.inputs["input_ids"])
    assert tokens == ["<s>", "▁", "<unk>", "은", "▁", "<unk>", "은", "</s>"]
    assert (feature.inputs["word_first"], feature.inputs["word_last"]) == ([2, 5], [3, 6])


# ---- gold labels come back -------------------------------------------------------------------------------


def perfect_output(batch, tree) -> ParserOutput:
    """What a parser says that is right about everything, built from the batch's own labels."""
    heads, labels = batch["heads"].clamp(min=0), batch["deprels"].clamp(min=0)
    arcs = 5.0 * torch.nn.functional.one_hot(heads, heads.shape[1] + 1)
    lengths = (batch["word_first"] != NO_WORD).sum(dim=1)
    logits = 5.0 * torch.nn.functional.one_hot(labels, len(LABELS))
    return ParserOutput(None, arcs, predicted_heads(arcs, lengths.tolist(), tree), logits)


def through_the_task(examples, encoder, tree=False, size=3):
    """Examples -> features -> perfect logits -> predictions."""
    task = DP(Options(tree_constraint=tree))
    features = task.features(examples, encoder, training=False)
    outputs = []
    for start in range(0, len(features), size):
        batch = task.collate(features[start : start + size], encoder)
        outputs += task.outputs(perfect_output(batch, tree), batch)
    return task.predictions(examples, features, outputs)


@pytest.mark.parametrize("kind", KINDS)
@given(examples=st.lists(sentences(), min_size=1, max_size=5), length=st.integers(4, 60))
@settings(max_examples=25, deadline=None)
def test_gold_comes_back_whatever_the_tokenizer_and_the_cut(kind, examples, length):
    """A label is a word's, not a token's: no boundary, unknown character or cut can lose one."""
    task, encoder = DP(), TextEncoder(make_tokenizer(kind), length, True)
    lines = through_the_task(examples, encoder)
    assert lines == [{"guid": example.guid, **task.reference(example)} for example in examples]
    for example, line in zip(examples, lines, strict=True):
        task.check_prediction(example, line)


@given(sentences())
@settings(max_examples=25, deadline=None)
def test_gold_trees_of_one_root_come_back_under_the_tree_constraint(example):
    (line,) = through_the_task([example], TextEncoder(make_tokenizer("character"), 60, False), tree=True)
    assert (line["heads"] == list(example.heads)) == (example.heads.count(0) == 1)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"heads": [3, 3]}, "heads are 2 of them"),
        ({"heads": "330"}, "heads are '330'"),
        ({"heads": [3, 3, "0"]}, "the head '0'"),
        ({"heads": [3, 3, True]}, "the head True"),
        ({"heads": [3, 3, 0.0]}, "the head 0.0"),
        ({"deprels": ["NP", "NP", "VPP"]}, "unknown label 'VPP'"),
        ({"deprels": ["NP", "NP", ["VP"]]}, "unknown label"),
        ({"deprels": None}, "deprels are None"),
        ({"heads": [99, -1, 0]}, None),  # impossible heads are just wrong, as in the official scorer
        ({}, None),
    ],
)
def test_predictions_are_checked(changes, what):
    (example,) = read(file_text(("a", ROWS)))
    line = {"guid": "a", **DP().reference(example), **changes}
    if what is None:
        DP().check_prediction(example, line)
    else:
        with pytest.raises(ValueError, match=re.escape(what)):
            DP().check_prediction(example, line)


# ---- trees -----------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_cycle_is_found_where_a_word_does_not_lead_to_the_root(data):
    count = data.draw(st.integers(1, 7))
    heads = data.draw(st.lists(st.integers(0, count), min_size=count, max_size=count))
    stray = [word for word in range(count) if not leads_to_root(heads, word + 1)]
    found = cycle(heads)
    assert found == (stray[0] if stray else None) or found in stray


def all_trees(count):
    """Every way to hang `count` words on each other so that one of them hangs on the root."""
    for heads in itertools.product(range(count + 1), repeat=count):
        if heads.count(0) == 1 and all(leads_to_root(heads, word + 1) for word in range(count)):
            yield heads


TREES = {count: list(all_trees(count)) for count in range(1, 6)}


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_best_tree_is_the_best_of_all(data):
    count = data.draw(st.integers(1, 5))
    whole = st.lists(st.integers(-9, 9), min_size=count * (count + 1), max_size=count * (count + 1))
    scores = np.array(data.draw(whole), dtype=np.float32).reshape(count, count + 1)
    best = max(sum(scores[word, head] for word, head in enumerate(heads)) for heads in TREES[count])
    heads = best_tree(scores)
    assert tuple(heads) in TREES[count]
    assert sum(scores[word, head] for word, head in enumerate(heads)) == best


def test_there_are_as_many_trees_as_cayley_says():
    assert [len(trees) for trees in TREES.values()] == [1, 2, 9, 64, 625]  # n ** (n - 1)


# ---- the parser ------------------------------------------------------------------------------------------

SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "hidden_size": 32}
SHAPE |= {"max_position_embeddings": 80, "initializer_range": 0.2}
BART = {"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_layers": 1}
BART |= {"decoder_attention_heads": 4, "decoder_ffn_dim": 48, "max_position_embeddings": 80, "d_model": 32}
FAMILIES = {
    "xpt": (XPTRobertaConfig, {**SHAPE, "type_vocab_size": 1}),
    "trelm": (TreLMRobertaConfig, {**SHAPE, "type_vocab_size": 1}),
    "bert": (BertConfig, SHAPE),
    "roberta": (RobertaConfig, SHAPE),
    "electra": (ElectraConfig, {**SHAPE, "embedding_size": 16}),
    "albert": (AlbertConfig, {**SHAPE, "embedding_size": 16}),
    "bart": (BartConfig, BART),
    "t5": (T5Config, {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}),
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Give `backbone(family)` a tiny model that was just opened; its folder is made once."""
    made = {}

    def make(family="xpt", kind="wordpiece", extra=()):
        if (family, kind, extra) not in made:
            set_seed(3)
            tokenizer = copy.deepcopy(make_tokenizer(kind))
            config_class, fields = FAMILIES[family]
            folder = tmp_path_factory.mktemp(family)
            config = config_class(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **fields)
            AutoModel.from_config(config).save_pretrained(folder)
            tokenizer.add_tokens(list(extra))
            tokenizer.save_pretrained(folder)
            made[family, kind, extra] = str(folder)
        return open_backbone(made[family, kind, extra])

    return make


@pytest.fixture(scope="module")
def parser(backbone):
    """One parser around a tiny XPT encoder, for tests that set its weights themselves."""
    return DP().build(backbone())


EXAMPLES = [
    *read(file_text(("a", ROWS), ("b", OTHER))),
    ParsedSentence("c", ("뷁은",), ("JX",), (0,), ("NP",)),
    ParsedSentence(
        "d",
        ("국회는", "오늘", "교육의", "정보를", "다시", "읽었다."),
        ("JX", "MAG", "JKG", "JKO", "MAG", "SF"),
        (6, 6, 4, 6, 6, 0),
        ("NP_SBJ", "AP", "NP_MOD", "NP_OBJ", "AP", "VP"),
    ),
]


def a_batch(task, backbone, examples=EXAMPLES):
    encoder = backbone.encoder_for(256)
    return task.collate(task.features(examples, encoder, training=True), encoder)


def scored(model, batch):
    with torch.no_grad():
        return model.eval()(**batch)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def elu(values):
    return np.where(values > 0, values, np.expm1(values))


def run_lstm(inputs, weights, suffix, hidden, cell):
    """An LSTM written out: the four gates in PyTorch's order (in, forget, cell, out)."""
    states = []
    for vector in inputs:
        gates = weights[f"weight_ih_l0{suffix}"] @ vector + weights[f"bias_ih_l0{suffix}"]
        gates = gates + weights[f"weight_hh_l0{suffix}"] @ hidden + weights[f"bias_hh_l0{suffix}"]
        into, forget, new, out = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(new)
        hidden = sigmoid(out) * np.tanh(cell)
        states.append(hidden)
    return np.array(states), cell


def parsed_by_hand(head, vectors, first, last, pos):
    """Arc scores, and label scores for every pair, of one sentence by the benchmark's formulas in float64."""
    part = {name: value.detach().double().numpy() for name, value in head.state_dict().items()}

    def within(prefix):
        return {name.removeprefix(prefix): value for name, value in part.items() if name.startswith(prefix)}

    def dense(name, values):
        return values @ part[f"{name}.weight"].T + part[f"{name}.bias"]

    words = [np.concatenate([vectors[0], vectors[0]])]
    words += [np.concatenate([vectors[a], vectors[b]]) for a, b in zip(first, last, strict=True)]
    if pos is not None:
        tags = [part["pos.weight"][tag] for tag in (45, *pos)]
        words = [np.concatenate([word, tag]) for word, tag in zip(words, tags, strict=True)]
    reader, zero = within("reader."), np.zeros(head.query.out_features)
    forth, cell_forth = run_lstm(words, reader, "", zero, zero)
    back, cell_back = run_lstm(words[::-1], reader, "_reverse", zero, zero)
    read_words = np.concatenate([forth, back[::-1]], axis=1)
    cell = dense("state", np.concatenate([cell_forth, cell_back]))
    asked, _ = run_lstm(elu(dense("query", read_words[1:])), within("asker."), "", np.tanh(cell), cell)
    word, place = elu(dense("arc_word", asked)), elu(dense("arc_head", read_words))
    arcs = np.einsum("ij,jk,lk->il", word, part["arc.weight"].T, place) + (place @ part["arc.bias"])[None]
    word, place = elu(dense("label_word", asked)), elu(dense("label_head", read_words))
    pairs = np.concatenate(np.broadcast_arrays(word[:, None], place[None]), axis=-1)
    return arcs, np.einsum("iw,lwh,jh->ijl", word, part["label.both"], place) + dense("label.each", pairs)


def strong(head, seed=5):
    """The head with weights far from zero, so that every term of a score shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.uniform_(-0.4, 0.4)
    return head


def without_dropout(model):
    """The model with dropout that drops nothing."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout1d):
            module.p = 0.0
    return model


@pytest.mark.parametrize("use_pos", [True, False])
def test_scores_and_loss_are_those_of_the_formulas(backbone, use_pos):
    task, opened = DP(Options(use_pos=use_pos)), backbone()
    model, batch = task.build(opened), a_batch(task, opened)
    strong(model.head)
    output = scored(model, batch)
    vectors = model.encoder(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    losses = []
    for row, example in enumerate(EXAMPLES):
        n = len(example.words)
        first, last = (batch[name][row, :n].tolist() for name in ("word_first", "word_last"))
        pos = batch["pos_ids"][row, :n].tolist() if use_pos else None
        arcs, labels = parsed_by_hand(model.head, vectors[row].detach().double().numpy(), first, last, pos)
        np.testing.assert_allclose(output.arc_logits[row, :n, : n + 1], arcs, rtol=1e-3, atol=1e-3)
        assert output.heads[row, :n].tolist() == arcs.argmax(axis=1).tolist()
        labels = labels[np.arange(n), arcs.argmax(axis=1)]
        np.testing.assert_allclose(output.label_logits[row, :n], labels, rtol=1e-3, atol=1e-3)
        gold = [LABELS.index(label) for label in example.deprels]
        for logits, right in zip([*arcs, *labels], [*example.heads, *gold], strict=True):
            losses.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[right])
    words = sum(len(example.words) for example in EXAMPLES)
    assert float(output.loss) == pytest.approx(sum(losses) / words, rel=1e-3)
    assert ("pos_ids" in batch) == use_pos


def test_labels_are_scored_for_gold_heads_in_training_and_predicted_ones_after(backbone):
    task, opened = DP(), backbone()
    model, batch = task.build(opened), a_batch(task, opened)
    strong(model.head)
    without_dropout(model)
    real = batch["word_first"] != NO_WORD
    trained = model.train()(**batch)
    assert torch.equal(trained.heads[real], batch["heads"][real])
    after = scored(model, batch)
    assert torch.equal(after.heads, after.arc_logits.argmax(dim=-1))
    differs = (after.heads != batch["heads"]) & real
    assert differs.any() and not differs[real].all()
    told = (trained.label_logits - after.label_logits).abs().amax(dim=-1) > 1e-3
    assert torch.equal(told[real], differs[real])
    bare = {name: value for name, value in batch.items() if name not in ("heads", "deprels")}
    assert torch.equal(scored(model, bare).label_logits, after.label_logits)
    assert scored(model, bare).loss is None


@given(examples=st.lists(sentences(longest=6), min_size=2, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_sentence_is_parsed_the_same_alone_and_in_any_batch(backbone, parser, examples, seed):
    task, opened = DP(), backbone()
    strong(parser.head, seed)
    together = scored(parser, a_batch(task, opened, examples))
    for row, example in enumerate(examples):
        n = len(example.words)
        alone = scored(parser, a_batch(task, opened, [example]))
        for name, shape in (("arc_logits", (slice(n), slice(n + 1))), ("label_logits", (slice(n),))):
            here, there = together[name][row][shape], alone[name][0][shape]
            torch.testing.assert_close(here, there, rtol=1e-3, atol=2e-4)
        assert (together.arc_logits[row, :, n + 1 :] == -torch.inf).all()
        assert (together.heads[row] <= n).all()


def test_constrained_heads_are_trees_and_have_the_labels(backbone):
    task, opened = DP(Options(tree_constraint=True)), backbone()
    model, batch = task.build(opened), a_batch(task, opened)
    free = DP().build(opened)
    seen = 0
    for seed in range(8):
        strong(model.head, seed)
        free.load_state_dict(model.state_dict())
        output, loose = scored(model, batch), scored(free, batch)
        for row, example in enumerate(EXAMPLES):
            n = len(example.words)
            heads = output.heads[row, :n].tolist()
            assert heads.count(0) == 1
            assert cycle(heads) is None
            same = output.heads[row, :n] == loose.heads[row, :n]
            agree = torch.isclose(output.label_logits[row, :n], loose.label_logits[row, :n]).all(dim=-1)
            assert torch.equal(same, agree)
            seen += int((~same).sum())
    assert seen > 10  # the constraint had something to do


def test_scores_that_are_no_numbers_still_give_a_tree():
    arcs = torch.full((1, 3, 4), torch.nan)
    heads = predicted_heads(arcs, [3], tree=True)[0].tolist()
    assert heads.count(0) == 1 and cycle(heads) is None


GROWN = ("<new1>", "<new2>")  # tokens of the tokenizer that the checkpoint has no rows for


@pytest.mark.parametrize(
    ("family", "extra"), [*((family, ()) for family in FAMILIES), ("xpt", GROWN), ("t5", GROWN)]
)
def test_any_encoder_trains_keeps_its_weights_and_loads_again(backbone, family, extra, tmp_path, monkeypatch):
    task, opened = DP(), backbone(family, extra=extra)
    encoder = opened.load_encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    monkeypatch.setattr(opened, "load_encoder", lambda: encoder)
    model, batch = task.build(opened), a_batch(task, opened)
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())
    assert ("token_type_ids" in batch) == (family in ("bert", "roberta", "electra", "albert"))
    output = scored(placed(model), batch)

    model.save_pretrained(tmp_path)
    for kind in (DependencyParser, AutoModel):
        again = placed(kind.from_pretrained(tmp_path))
        assert type(again) is DependencyParser
        assert again.config.label2id == {label: index for index, label in enumerate(LABELS)}
        ours, theirs = model.state_dict(), again.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert torch.equal(scored(again, batch).arc_logits, output.arc_logits)
    twin = DependencyParser(model.config)
    twin.load_state_dict(again.state_dict())
    assert torch.equal(scored(twin, batch).arc_logits, output.arc_logits)

    model.train()(**batch).loss.backward()
    unused = [name for name, value in model.named_parameters() if value.grad is None]
    assert all("pooler" in name for name in unused)


def test_token_types_reach_the_encoder(backbone):
    task, opened = DP(), backbone("bert")
    model, batch = task.build(opened), a_batch(task, opened)
    assert (batch["token_type_ids"] == 0).all()
    other = {**batch, "token_type_ids": torch.ones_like(batch["token_type_ids"])}
    assert not torch.allclose(scored(model, batch).arc_logits[3], scored(model, other).arc_logits[3])


def test_the_head_has_the_sizes_of_the_benchmark(backbone):
    head = DP().build(backbone()).head
    assert (head.arc.out_features, head.label_head.out_features, head.pos.embedding_dim) == (512, 256, 256)
    assert (head.reader.hidden_size, head.asker.hidden_size) == (32, 32)  # as the encoder, which is narrower
    wide = ParserHead(DependencyParserConfig(encoder=BertConfig(hidden_size=1024), num_labels=38))
    assert (wide.reader.hidden_size, wide.reader.input_size) == (768, 2 * 1024 + 256)
    assert wide.reader.bidirectional and not wide.asker.bidirectional and wide.dropout.p == 0.33


def test_dropout_takes_features_of_a_sentence_and_tags_of_words(backbone):
    head = DP().build(backbone()).head.train()
    kept = head._drop_features(torch.ones(2, 7, 32)) != 0
    assert (kept == kept[:, :1]).all() and 0 < kept[:, 0].float().mean() < 1
    tags = head.dropout(torch.ones(2, 40, 16)) != 0
    assert (tags == tags[..., :1]).all() and 0 < tags[..., 0].float().mean() < 1


@pytest.mark.learned
def test_a_tiny_parser_learns_sentences_by_heart(backbone):
    task, opened = DP(), backbone()
    set_seed(0)
    trees = [(3, 4, 1, 0), (2, 0, 2, 3), (0, 1, 2, 1)]
    examples = [
        ParsedSentence(
            f"g{index}",
            tuple(f"{first}{word}" for word in ("은", "에", "다", ".")),
            ("JX", "JKB", "SL", "SF"),
            trees[index % 3],
            tuple(LABELS[(5 * index + word) % 38] for word in range(4)),
        )
        for index, first in enumerate(["국회", "정부", "학생", "시민", "Kim", "大韓", "7", "경제"])
    ]
    encoder = opened.encoder_for(64)
    features = task.features(examples, encoder, training=True)
    batch, model = task.collate(features, encoder), without_dropout(task.build(opened))
    gold = [{"guid": example.guid, **task.reference(example)} for example in examples]

    def knows(output):
        return task.predictions(examples, features, task.outputs(output, batch)) == gold

    assert learned_by_heart(model, batch, knows, rate=2e-3)
