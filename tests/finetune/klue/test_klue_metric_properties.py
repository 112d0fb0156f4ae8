"""What holds of the KLUE metrics for any input: perfect is 100, order is nothing, variants are right.

The variants are counted again here, by loops that share no code and no library with the module.
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from klue_rows import same, scored

from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric
from xpt.finetune.klue.klue_metric.labels import DEPRELS, NER_TAGS, NLI_LABELS, RELATIONS, YNAT_LABELS
from xpt.finetune.klue.klue_metric.names import OFFICIAL, VARIANTS

FEW = settings(max_examples=8, deadline=None)
MORE = settings(max_examples=25, deadline=None)


def lists_of(element, least=1, most=8):
    return st.lists(element, min_size=least, max_size=most)


def label_pairs(inventory):
    row = st.fixed_dictionaries({"label": st.sampled_from(inventory)})
    return lists_of(st.tuples(row, row))


@st.composite
def ner_pair(draw):
    characters = draw(lists_of(st.sampled_from("가나 "), most=10))
    tags = st.lists(
        st.sampled_from(NER_TAGS[:4] + NER_TAGS[-1:]), min_size=len(characters), max_size=len(characters)
    )
    return {"tags": draw(tags)}, {"characters": characters, "tags": draw(tags)}


@st.composite
def dp_pair(draw):
    words = draw(st.integers(1, 6))
    heads = st.lists(st.integers(0, words), min_size=words, max_size=words)
    deprels = st.lists(st.sampled_from(DEPRELS[12:18]), min_size=words, max_size=words)
    row = st.fixed_dictionaries({"heads": heads, "deprels": deprels})
    return draw(row), draw(row)


@st.composite
def re_pairs(draw):
    """All relations once, so that every curve exists, and a few more; probabilities with ties."""
    names = [*RELATIONS, *draw(lists_of(st.sampled_from(RELATIONS), least=0))]
    ranks = draw(st.randoms(use_true_random=False))
    predicted = [
        {
            "label": ranks.choice([name, "no_relation", "per:title"]),
            "probs": [ranks.randint(0, 9) / 10 for _ in RELATIONS],
        }
        for name in names
    ]
    return [(row, {"label": name}) for row, name in zip(predicted, names, strict=True)]


SCORE = st.fixed_dictionaries({"score": st.floats(-1, 6, width=32)})
ANSWER = st.text("가나a '《》()’.X", max_size=8)
STATE = st.lists(st.sampled_from(["가-나-1", "가-나-2", "가-다-1", "라-나-1"]), max_size=4, unique=True)
PAIRS = {
    "ynat": label_pairs(YNAT_LABELS),
    "sts": lists_of(st.tuples(SCORE, SCORE)),
    "nli": label_pairs(NLI_LABELS),
    "ner": lists_of(ner_pair(), most=4),
    "re": re_pairs(),
    "dp": lists_of(dp_pair(), most=4),
    "mrc": lists_of(
        st.tuples(
            st.fixed_dictionaries({"text": ANSWER}),
            st.fixed_dictionaries({"answers": st.lists(ANSWER, max_size=3)}),
        )
    ),
    "wos": lists_of(
        st.tuples(st.fixed_dictionaries({"state": STATE}), st.fixed_dictionaries({"state": STATE}))
    ),
}


def of_pairs(task, pairs):
    predictions, references = zip(*pairs, strict=True)
    return scored(task, predictions, references)


def as_predicted(task, reference):
    """The prediction that says just what the reference says."""
    if task == "re":
        return {**reference, "probs": [float(name == reference["label"]) for name in RELATIONS]}
    if task == "mrc":
        return {"text": (reference["answers"] or [""])[-1]}
    return reference


@pytest.mark.parametrize("task", OFFICIAL)
def test_a_perfect_prediction_scores_100(task):
    # A mean over all topics is no 100 when some are missing.
    incomplete = {"ynat/macro_f1_all_labels"}

    @FEW
    @given(PAIRS[task])
    def check(pairs):
        got = of_pairs(task, [(as_predicted(task, reference), reference) for _, reference in pairs])
        assert tuple(got) == OFFICIAL[task] + VARIANTS[task]
        for name in set(got) - incomplete:
            # Whatever the data do not define (no entity, no variance, no slot) is NaN; sts/f1 is 0 there.
            assert math.isnan(got[name]) or same(got[name], 100.0) or (name, got[name]) == ("sts/f1", 0.0), (
                name
            )

    check()


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_order_of_the_examples_is_nothing(task):
    @FEW
    @given(PAIRS[task], st.randoms(use_true_random=False))
    def check(pairs, chooser):
        shuffled = list(pairs)
        chooser.shuffle(shuffled)
        got, again = of_pairs(task, pairs), of_pairs(task, shuffled)
        assert all(same(again[name], value) for name, value in got.items())
        lowest = -100.0 if task == "sts" else 0.0
        assert all(math.isnan(value) or lowest - 1e-9 <= value <= 100.0 + 1e-9 for value in got.values())

    check()


@pytest.mark.parametrize("task", OFFICIAL)
def test_rows_may_come_one_by_one(task):
    @settings(max_examples=3, deadline=None)
    @given(PAIRS[task])
    def check(pairs):
        metric = KlueMetric(task)
        for prediction, reference in pairs:
            metric.add(prediction=prediction, reference=reference)
        got = metric.compute(variants=True)
        assert got == pytest.approx(of_pairs(task, pairs), nan_ok=True)

    check()


def counted_f1(right, predicted, gold):
    return 100 * 2 * right / (predicted + gold) if predicted + gold else math.nan


def mean(values):
    return sum(values) / len(values) if values else math.nan


@MORE
@given(PAIRS["ynat"])
def test_ynat_variants_counted_again(pairs):
    told = [(prediction["label"], reference["label"]) for prediction, reference in pairs]
    by_topic = [
        counted_f1(
            told.count((topic, topic)), sum(p == topic for p, _ in told), sum(g == topic for _, g in told)
        )
        for topic in YNAT_LABELS
    ]
    got = of_pairs("ynat", pairs)
    assert same(got["ynat/macro_f1_all_labels"], mean([0.0 if math.isnan(f1) else f1 for f1 in by_topic]))
    assert same(got["ynat/macro_f1"], mean([f1 for f1 in by_topic if not math.isnan(f1)]))
    assert same(got["ynat/accuracy"], 100 * mean([p == g for p, g in told]))


@MORE
@given(PAIRS["sts"])
def test_spearman_is_pearson_of_mean_ranks(pairs):
    def ranks(side):
        values = [pair[side]["score"] for pair in pairs]
        return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]

    predicted, gold = ranks(0), ranks(1)
    centered = [[rank - (len(pairs) + 1) / 2 for rank in side] for side in (predicted, gold)]
    scale = math.sqrt(math.prod(sum(rank * rank for rank in side) for side in centered))
    expected = 100 * sum(p * g for p, g in zip(*centered, strict=True)) / scale if scale else math.nan
    assert same(of_pairs("sts", pairs)["sts/spearmanr"], expected)


def spans_by_definition(tags):
    """Every stretch that is B-X I-X ... I-X and is not followed by another I-X."""
    found = []
    for first in range(len(tags)):
        for last in range(first, len(tags)):
            kind = tags[first][2:]
            inside = all(tag == f"I-{kind}" for tag in tags[first + 1 : last + 1])
            goes_on = last + 1 < len(tags) and tags[last + 1] == f"I-{kind}"
            if tags[first] == f"B-{kind}" and inside and not goes_on:
                found.append((kind, first, last))
    return found


@MORE
@given(PAIRS["ner"])
def test_ner_variants_counted_again(pairs):
    def spans(spaces):
        sides = []
        for side in (0, 1):
            rows = [(pair[side]["tags"], pair[1]["characters"]) for pair in pairs]
            kept = [[t for t, c in zip(*row, strict=True) if spaces or c != " "] for row in rows]
            sides.append([(at, *span) for at, tags in enumerate(kept) for span in spans_by_definition(tags)])
        return sides

    def macro(predicted, gold):
        kinds = {span[1] for span in predicted + gold}
        parts = [
            ([s for s in predicted if s[1] == kind], [s for s in gold if s[1] == kind]) for kind in kinds
        ]
        return mean([counted_f1(sum(s in g for s in p), len(p), len(g)) for p, g in parts])

    got = of_pairs("ner", pairs)
    assert same(got["ner/entity_macro_f1_with_spaces"], macro(*spans(spaces=True)))
    predicted, gold = spans(spaces=False)
    assert same(got["ner/entity_macro_f1"], macro(predicted, gold))
    right = sum(span in gold for span in predicted)
    assert same(got["ner/entity_micro_f1"], counted_f1(right, len(predicted), len(gold)))
    characters = [
        (p, g)
        for prediction, reference in pairs
        for p, g, c in zip(prediction["tags"], reference["tags"], reference["characters"], strict=True)
        if c != " "
    ]
    by_tag = [
        counted_f1(
            characters.count((tag, tag)),
            sum(p == tag for p, _ in characters),
            sum(g == tag for _, g in characters),
        )
        for tag in NER_TAGS
        if tag != "O"
    ]
    assert same(got["ner/char_macro_f1_without_o"], mean([f1 for f1 in by_tag if not math.isnan(f1)]))


@FEW
@given(PAIRS["re"])
def test_re_variants_counted_again(pairs):
    def average_precision(at):
        gold = [reference["label"] == RELATIONS[at] for _, reference in pairs]
        probs = [prediction["probs"][at] for prediction, _ in pairs]
        total = 0.0
        for threshold in set(probs):
            taken = [g for g, p in zip(gold, probs, strict=True) if p >= threshold]
            gained = sum(g for g, p in zip(gold, probs, strict=True) if p == threshold)
            total += gained / sum(gold) * sum(taken) / len(taken)
        return total

    got = of_pairs("re", pairs)
    assert same(
        got["re/auprc_without_no_relation"], 100 * mean([average_precision(at) for at in range(1, 30)])
    )
    told = [(prediction["label"], reference["label"]) for prediction, reference in pairs]
    by_relation = [
        counted_f1(told.count((name, name)), sum(p == name for p, _ in told), sum(g == name for _, g in told))
        for name in RELATIONS[1:]
    ]
    assert same(got["re/macro_f1"], mean(by_relation))


@MORE
@given(PAIRS["dp"])
def test_dp_variants_counted_again(pairs):
    words = [
        (p, g)
        for prediction, reference in pairs
        for p, g in zip(
            zip(prediction["heads"], prediction["deprels"], strict=True),
            zip(reference["heads"], reference["deprels"], strict=True),
            strict=True,
        )
    ]
    got = of_pairs("dp", pairs)
    assert same(got["dp/uas"], 100 * mean([p[0] == g[0] for p, g in words]))
    assert same(got["dp/las"], 100 * mean([p == g for p, g in words]))
    assert same(got["dp/uas_micro_f1"], got["dp/uas"]) and got["dp/las_micro_f1"] >= got["dp/las"] - 1e-9


@MORE
@given(PAIRS["mrc"])
def test_mrc_variants_counted_again(pairs):
    def meant(text):
        spaced = "".join(" " if c in "'\"《》<>〈〉()‘’" else c for c in text.lower())
        return " ".join(spaced.replace(".", "").split())

    def longest(predicted, gold):
        pieces = [predicted[i:j] for i in range(len(predicted)) for j in range(i + 1, len(predicted) + 1)]
        return max((len(piece) for piece in pieces if piece in gold), default=0)

    def common(predicted, gold):
        left = list(gold)
        return sum(1 for c in predicted if c in left and not left.remove(c))

    def best(right, trimmed):
        found = []
        for prediction, reference in pairs:
            p = trimmed(meant(prediction["text"]))
            golds = [trimmed(meant(gold)) for gold in reference["answers"]] or [""]
            found.append(max(counted_f1(right(p, g), len(p), len(g)) if p or g else 100.0 for g in golds))
        return mean(found)

    got = of_pairs("mrc", pairs)
    assert same(got["mrc/rouge_w_clean"], best(longest, lambda text: text))
    assert same(got["mrc/char_f1"], best(common, lambda text: text.replace(" ", "")))
    equal = [meant(p["text"]) in [meant(gold) for gold in r["answers"] or [""]] for p, r in pairs]
    assert same(got["mrc/em_clean"], 100 * mean(equal))


@MORE
@given(PAIRS["wos"])
def test_wos_counted_again(pairs):
    turns = [(prediction["state"], reference["state"]) for prediction, reference in pairs]
    counts = [(sum(state in g for state in p), len(p), len(g)) for p, g in turns]
    got = of_pairs("wos", pairs)
    assert same(got["wos/slot_f1_pooled"], counted_f1(*(sum(column) for column in zip(*counts, strict=True))))
    assert same(got["wos/slot_f1"], mean([counted_f1(*c) if c[1] + c[2] else 100.0 for c in counts]))
    assert same(got["wos/jga"], 100 * mean([sorted(p) == sorted(g) for p, g in turns]))
