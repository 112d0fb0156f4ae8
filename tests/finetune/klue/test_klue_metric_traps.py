"""The traps of the KLUE metrics, each worked by hand: what is expected stands with its reckoning."""

import math

import pytest
from klue_rows import answered, labels, relation, same, scored, scores, sentence, states, tree

from xpt.finetune.klue.klue_metric.labels import DEPRELS, RELATIONS


def test_ynat_averages_the_topics_that_occur():
    got = scored("ynat", labels("정치", "정치", "정치", "사회"), labels("정치", "경제", "정치", "사회"))
    # 정치: 2 right of 3 predicted and 2 gold, 4/5; 경제: 0; 사회: 1; four topics nowhere.
    assert same(got["ynat/macro_f1"], 100 * (0.8 + 0 + 1) / 3)
    assert same(got["ynat/macro_f1_all_labels"], 100 * (0.8 + 0 + 1) / 7)
    assert same(got["ynat/accuracy"], 75.0)


def test_sts_takes_raw_scores():
    got = scored("sts", scores(0.0, 10.0, 30.0), scores(0.0, 1.0, 2.0))
    # Deviations -1 0 1 and -40/3 -10/3 50/3: r = 30 / sqrt(2 x 4200/9). Order is right; nothing gold is 3.
    assert same(got["sts/pearsonr"], 100 * 30 / math.sqrt(2 * 4200 / 9))
    assert same(got["sts/spearmanr"], 100.0) and got["sts/f1"] == 0.0


def test_sts_f1_is_positive_from_exactly_three():
    # Positive: predicted 1st and 2nd, gold 1st and 3rd: 1 right of 2 and 2.
    got = scored("sts", scores(3.0, 3.0, 2.9999, 0.0), scores(3.0, 2.9999, 5.0, 0.0))
    assert same(got["sts/f1"], 50.0)
    # 2.99999999 is 3 as a 32-bit float, which the official scores are.
    assert same(scored("sts", scores(2.99999999, 0.0), scores(4.0, 0.0))["sts/f1"], 100.0)


def test_sts_target_is_not_to_be_rounded():
    # 2.96 is below 3, its one-decimal label is not.
    assert scored("sts", scores(4.0, 0.0), scores(2.96, 0.0))["sts/f1"] == 0.0


@pytest.mark.parametrize("predicted", [[2.0, 2.0, 2.0], [1.0]])
def test_sts_correlations_that_do_not_exist_are_nan(predicted):
    got = scored("sts", scores(*predicted), scores(*[3.5, 4.0, 1.0][: len(predicted)]))
    assert math.isnan(got["sts/pearsonr"]) and math.isnan(got["sts/spearmanr"]) and got["sts/f1"] == 0.0


def test_ner_characters_count_o_and_absent_tags():
    got = scored("ner", [{"tags": ["B-PS", "B-PS", "O"]}], [sentence("가나다", "B-PS O O")])
    # Between two more O: B-PS 1 right of 2 and 1, 2/3; O 3 right of 3 and 4, 6/7; eleven absent tags 1 each.
    assert same(got["ner/char_macro_f1"], 100 * (2 / 3 + 6 / 7 + 11) / 13)
    assert same(got["ner/char_macro_f1_without_o"], 100 * 2 / 3)


def test_ner_drops_the_rows_of_spaces():
    got = scored(
        "ner", [{"tags": ["B-DT", "O", "I-DT", "B-PS", "O"]}], [sentence("가 나 다", "B-DT I-DT I-DT O O")]
    )
    assert got["ner/entity_macro_f1"] == got["ner/char_macro_f1"] == got["ner/entity_micro_f1"] == 100.0
    # With the space, B-DT alone is one wrong span, B-PS another: two types, neither right.
    assert got["ner/entity_macro_f1_with_spaces"] == 0.0


def test_ner_counts_other_white_space_as_characters():
    got = scored("ner", [{"tags": ["B-DT", "O", "I-DT"]}], [sentence("가\u3000나", "B-DT I-DT I-DT")])
    assert got["ner/entity_macro_f1"] == 0.0


@pytest.mark.parametrize(
    "predicted", ["I-LC I-LC O", "B-LC I-OG O", "B-LC B-LC O", "B-LC O O", "B-LC I-LC I-LC"]
)
def test_ner_spans_are_strict(predicted):
    got = scored("ner", [{"tags": predicted.split()}], [sentence("가나다", "B-LC I-LC O")])
    assert got["ner/entity_macro_f1"] == got["ner/entity_micro_f1"] == 0.0


def test_ner_entities_average_types_or_pool_them():
    gold = sentence("가나다라", "B-PS I-PS B-LC B-LC")
    got = scored("ner", [{"tags": ["B-PS", "I-PS", "B-LC", "O"]}], [gold])
    # PS: 1 of 1 and 1; LC: 1 of 1 and 2, 2/3. Pooled: 2 of 2 and 3, 4/5. Other types are left out.
    assert same(got["ner/entity_macro_f1"], 100 * (1 + 2 / 3) / 2)
    assert same(got["ner/entity_macro_f1_with_spaces"], 100 * (1 + 2 / 3) / 2)
    assert same(got["ner/entity_micro_f1"], 80.0)


def test_ner_without_entities_has_no_entity_score():
    got = scored("ner", [{"tags": ["O", "O"]}], [sentence("가나", "O O")])
    assert got.pop("ner/char_macro_f1") == 100.0
    assert len(got) == 4 and all(math.isnan(value) for value in got.values())


def test_ner_spans_end_with_their_sentence():
    gold = [sentence("가나", "B-PS I-PS"), sentence("다라", "O O")]
    got = scored("ner", [{"tags": ["B-PS", "I-PS"]}, {"tags": ["I-PS", "O"]}], gold)
    assert got["ner/entity_macro_f1"] == got["ner/entity_macro_f1_with_spaces"] == 100.0


def test_re_micro_f1_ignores_right_no_relation():
    # Relations: 1 right of 2 predicted and 3 gold, whatever becomes of no_relation.
    predicted = ["no_relation", "no_relation", "per:title", "org:members", "no_relation"]
    gold = labels("no_relation", "no_relation", "per:title", "org:founded", "org:members")
    got = scored("re", [relation(label) for label in predicted], gold)
    assert same(got["re/micro_f1"], 100 * 2 / (2 + 3))
    # per:title 1; org:members 0; org:founded 0.
    assert same(got["re/macro_f1"], 100 / 3)
    nothing = scored("re", [relation("no_relation")] * 2, labels("per:title", "no_relation"))
    assert nothing["re/micro_f1"] == 0.0


def test_re_without_any_relation_has_no_clean_score():
    got = scored("re", [relation("no_relation", p0=1.0)], labels("no_relation"))
    assert got["re/micro_f1"] == 0.0
    assert math.isnan(got["re/macro_f1"]) and math.isnan(got["re/auprc_without_no_relation"])


def test_re_area_is_nan_when_gold_lacks_a_relation():
    predicted = [relation(name, **{f"p{at}": 1.0}) for at, name in enumerate(RELATIONS)]
    whole, lacking = labels(*RELATIONS), labels(*RELATIONS[:29], RELATIONS[28])
    assert same(scored("re", predicted, whole)["re/auprc"], 100.0)
    assert math.isnan(scored("re", predicted, lacking)["re/auprc"])


def test_re_area_of_constant_probabilities_ends_at_precision_one():
    probs = [at / 435 for at in range(30)]
    got = scored("re", [{"label": "per:title", "probs": probs}] * 30, labels(*RELATIONS))
    # Each curve is a line from (recall 1, precision 1/30) to (recall 0, precision 1).
    assert same(got["re/auprc"], 100 * (1 + 1 / 30) / 2)
    assert same(got["re/auprc_without_no_relation"], 100 / 30)


def test_re_area_counts_no_relation_as_one_class_of_thirty_and_not_the_label():
    # Each relation has its probability right; no_relation 0 on its gold and 0.5 elsewhere; labels are wrong.
    predicted = [relation("per:title", p0=0.5, **{f"p{at}": 1.0}) for at in range(1, 30)]
    got = scored("re", [relation("per:title"), *predicted], labels(*RELATIONS))
    # no_relation: (recall 1, precision 1/30), (0, 0), (0, 1): a triangle of 1/60.
    assert same(got["re/auprc"], 100 * (29 + 1 / 60) / 30)
    assert same(got["re/auprc_without_no_relation"], 100.0)
    # per:title is predicted for all 30, right once.
    assert same(got["re/micro_f1"], 100 * 2 / (30 + 29))


def test_re_area_is_a_trapezoid():
    # per:title is gold on ranks 1 and 3 of its probability: (1, 2/3), (1/2, 1/2), (1/2, 1), (0, 1).
    predicted = [relation(name, **{f"p{at}": 1.0}) for at, name in enumerate(RELATIONS)]
    predicted.append(relation("per:title", p29=0.5))
    predicted[0]["probs"][29] = 0.7
    got = scored("re", predicted, labels(*RELATIONS, "per:title"))
    area = (1 / 2 + 2 / 3) / 2 / 2 + 1 / 2
    assert same(got["re/auprc"], 100 * (29 + area) / 30)
    assert same(got["re/auprc_without_no_relation"], 100 * (28 + (1 / 1 + 2 / 3) / 2) / 29)


def test_dp_heads_are_classes():
    got = scored("dp", [tree([3, 3, 0], "NP_SBJ NP_OBJ VP")], [tree([2, 3, 0], "NP_SBJ NP_OBJ VP")])
    # Head 0: 1; 2: 0; 3: 1 right of 2 and 1, 2/3.
    assert same(got["dp/uas_macro_f1"], 100 * (1 + 0 + 2 / 3) / 3)
    # NP_SBJ: 0, its word has a wrong head; NP_OBJ and VP: 1; the class of wrong heads: 0.
    assert same(got["dp/las_macro_f1"], 100 * (0 + 1 + 1 + 0) / 4)
    assert all(
        same(got[name], 100 * 2 / 3) for name in ("dp/uas_micro_f1", "dp/las_micro_f1", "dp/uas", "dp/las")
    )


def test_dp_a_wrong_head_is_no_rare_label():
    got = scored("dp", [tree([0, 0], "VP_CMP VP")], [tree([2, 0], "VP_CMP VP")])
    # The merged label: 0, its word has a wrong head; VP: 1; wrong heads: 0.
    assert same(got["dp/las_macro_f1"], 100 / 3) and same(got["dp/las_micro_f1"], 50.0)


def test_dp_one_impossible_head_is_one_more_class():
    got = scored("dp", [tree([99, 3, 0], "NP NP NP")], [tree([3, 3, 0], "NP NP NP")])
    # Head 0: 1; 3: 1 right of 1 and 2, 2/3; 99: 0. NP: 2 right of 2 and 3, 4/5; wrong heads: 0.
    assert same(got["dp/uas_macro_f1"], 100 * (1 + 2 / 3) / 3)
    assert same(got["dp/las_macro_f1"], 100 * (4 / 5) / 2)


def test_dp_merges_the_labels_from_vp_cmp_on():
    merged = DEPRELS[DEPRELS.index("VP_CMP") :]
    assert len(DEPRELS) == 38 and len(merged) == 23
    heads = [*range(2, 24), 0]
    got = scored("dp", [tree(heads, " ".join(merged[1:] + merged[:1]))], [tree(heads, " ".join(merged))])
    assert got["dp/las_macro_f1"] == got["dp/las_micro_f1"] == got["dp/uas"] == 100.0
    assert got["dp/las"] == 0.0
    # VP_SBJ stands before them. The typing error NP_SVJ is no NP_SBJ: 2 of the 3 classes have 0.
    got = scored("dp", [tree([2, 0], "VP_CMP VP")], [tree([2, 0], "VP_SBJ VP")])
    assert same(got["dp/las_macro_f1"], 100 / 3) and same(got["dp/las_micro_f1"], 50.0)
    assert scored("dp", [tree([0], "NP_SBJ")], [tree([0], "NP_SVJ")])["dp/las_micro_f1"] == 0.0


def test_dp_counts_words_not_sentences():
    gold = [tree([2, 3, 0], "NP NP VP"), tree([0], "VP")]
    got = scored("dp", [gold[0], tree([1], "VP")], gold)
    assert same(got["dp/uas"], 75.0) and same(got["dp/las"], 75.0)


@pytest.mark.parametrize("mark", "《 》 〈 〉 ‘ ’".split())
def test_mrc_keeps_korean_brackets_and_curly_quotes(mark):
    got = answered("대한신보", f"대한신보{mark}")
    # The whole prediction of 4 is in the gold of 5.
    assert got["mrc/em"] == 0.0 and same(got["mrc/rouge_w"], 100 * 2 * 4 / 9)
    assert got["mrc/em_clean"] == got["mrc/rouge_w_clean"] == got["mrc/char_f1"] == 100.0


def test_mrc_clean_normalizer_puts_a_space_where_the_official_one_deletes():
    assert answered("ab", "A(B")["mrc/em"] == 100.0 and answered("a b", "A(B")["mrc/em_clean"] == 100.0
    assert answered("a b", "A(B")["mrc/em"] == 0.0 and answered("ab", "A(B")["mrc/em_clean"] == 0.0


def test_mrc_normalizer_has_its_one_match():
    # One quote or bracket and the four characters ()‘’ become a space together.
    assert answered("a b", "a《()‘’b")["mrc/em"] == 100.0
    assert answered("a b", "a()‘’b")["mrc/em"] == 0.0


@pytest.mark.parametrize(
    "predicted, gold",
    [("bmw 3시리즈.", "BMW 3-시리즈"), ("35", "3.5%"), ("서울 특별시", "\u3000서울\u00a0 특별시\n")],
)
def test_mrc_normalizer_drops_case_ascii_punctuation_and_odd_spaces(predicted, gold):
    assert answered(predicted, gold)["mrc/em"] == 100.0


def test_mrc_spaces_and_other_punctuation_count():
    assert answered("서울특별시", "서울 특별시")["mrc/em"] == 0.0
    assert answered("가나", "가·나")["mrc/em"] == answered("가나", "“가나”")["mrc/em_clean"] == 0.0


def test_mrc_rouge_w_is_the_longest_piece():
    # def, 3 of 6 and 6; characters in common: all but c and X, 5 of 6 and 6.
    got = answered("abXdef", "abcdef")
    assert same(got["mrc/rouge_w"], 50.0) and same(got["mrc/rouge_w_clean"], 50.0)
    assert same(got["mrc/char_f1"], 100 * 5 / 6)
    # The piece may hold a space: "나 다" of 3 and 5; without spaces 2 of 2 and 4.
    got = answered("나 다", "가나 다라")
    assert same(got["mrc/rouge_w"], 100 * 6 / 8) and same(got["mrc/char_f1"], 100 * 4 / 6)


def test_mrc_rouge_w_takes_no_frequent_characters_of_long_golds():
    # Of 200 characters, one that makes up more than 1 % (+ 1) starts no match; of 199 it does.
    got = answered("가" * 199, "나" + "가" * 199)
    assert got["mrc/rouge_w"] == 0.0 and same(got["mrc/rouge_w_clean"], 100 * 2 * 199 / 399)
    assert same(answered("가" * 198, "나" + "가" * 198)["mrc/rouge_w"], 100 * 2 * 198 / 397)
    # The gold is what is looked at: a long prediction matches a short gold.
    assert same(answered("나" + "가" * 199, "가" * 199)["mrc/rouge_w"], 100 * 2 * 199 / 399)


@pytest.mark.parametrize("text", ["", "...", " ", "?!"])
def test_mrc_punctuation_wins_unanswerable_questions(text):
    assert set(answered(text).values()) == {100.0} and set(answered(text, "%").values()) == {100.0}
    assert set(answered("서울").values()) == {0.0} and set(answered("퍼센트", "%").values()) == {0.0}
    assert set(answered(text, "서울").values()) == {0.0}


def test_mrc_takes_the_best_gold_and_the_mean_of_questions():
    golds = [{"answers": ["서울 시", "서울"]}, {"answers": []}, {"answers": ["가나다"]}]
    got = scored("mrc", [{"text": "서울"}, {"text": ""}, {"text": "가"}], golds)
    # 1, 1, and 1 character of 1 and 3.
    assert same(got["mrc/em"], 100 * 2 / 3) and same(got["mrc/rouge_w"], 100 * (1 + 1 + 2 / 4) / 3)


def test_wos_slot_f1_is_a_mean_of_turns():
    gold = states(
        ["식당-종류-한식당"], ["식당-종류-한식당", "식당-지역-서울", "숙소-지역-서울", "숙소-주차 가능-yes"]
    )
    got = scored("wos", states(["식당-종류-한식당"], ["식당-종류-한식당"]), gold)
    # Turns 1 and 1 right of 1 and 4, 2/5; pooled 2 right of 2 and 5, 4/7.
    assert got["wos/jga"] == 50.0 and same(got["wos/slot_f1"], 100 * (1 + 2 / 5) / 2)
    assert same(got["wos/slot_f1_pooled"], 100 * 4 / 7)


@pytest.mark.parametrize(
    "predicted, gold, jga, slot_f1, pooled",
    [
        ([], [], 1, 1, math.nan),
        (["가-나-1"], [], 0, 0, 0),
        ([], ["가-나-1"], 0, 0, 0),
        (["가-나-1", "가-나-1"], ["가-나-1"], 1, 1, 1),
        # A wrong string predicted twice: 1 right of 3 and 1, but pooled of 2 and 1.
        (["가-나-1", "가-다-9", "가-다-9"], ["가-나-1"], 0, 2 / 4, 2 / 3),
        # Whole strings only: another spelling of a value is another value, a slot without one is wrong.
        (["가-나-서울중앙"], ["가-나-서울 중앙"], 0, 0, 0),
        (["가-나-1", "가-다-none"], ["가-나-1"], 0, 2 / 3, 2 / 3),
    ],
)
def test_wos_turns(predicted, gold, jga, slot_f1, pooled):
    got = scored("wos", states(predicted), states(gold))
    expected = {"wos/jga": 100 * jga, "wos/slot_f1": 100 * slot_f1, "wos/slot_f1_pooled": 100 * pooled}
    assert got == pytest.approx(expected, nan_ok=True)
