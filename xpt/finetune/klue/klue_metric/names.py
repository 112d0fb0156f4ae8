"""What the scores are called and what each one is, in a line; imports nothing, so any table can show it."""

OFFICIAL: dict[str, tuple[str, ...]] = {
    "ynat": ("ynat/macro_f1",),
    "sts": ("sts/pearsonr", "sts/f1"),
    "nli": ("nli/accuracy",),
    "ner": ("ner/entity_macro_f1", "ner/char_macro_f1"),
    "re": ("re/micro_f1", "re/auprc"),
    "dp": ("dp/uas_macro_f1", "dp/uas_micro_f1", "dp/las_macro_f1", "dp/las_micro_f1"),
    "mrc": ("mrc/em", "mrc/rouge_w"),
    "wos": ("wos/jga", "wos/slot_f1"),
}
"""The benchmark's own metrics of each task, in the order of its tables."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "ynat": ("ynat/macro_f1_all_labels", "ynat/accuracy"),
    "sts": ("sts/spearmanr",),
    "nli": (),
    "ner": ("ner/entity_macro_f1_with_spaces", "ner/entity_micro_f1", "ner/char_macro_f1_without_o"),
    "re": ("re/macro_f1", "re/auprc_without_no_relation"),
    "dp": ("dp/uas", "dp/las"),
    "mrc": ("mrc/em_clean", "mrc/rouge_w_clean", "mrc/char_f1"),
    "wos": ("wos/slot_f1_pooled",),
}
"""Metrics without the defects of the official ones; they compare with no published figure."""

DESCRIPTIONS: dict[str, str] = {
    "ynat/macro_f1": "mean F1 of the topics that occur in gold or prediction (not always all 7)",
    "ynat/macro_f1_all_labels": "mean F1 of all 7 topics; one that occurs nowhere counts 0",
    "ynat/accuracy": "share of titles with the right topic",
    "sts/pearsonr": "Pearson's r of the raw scores, as 32-bit floats, with the unrounded real-label",
    "sts/f1": "F1 of score >= 3 against real-label >= 3",
    "sts/spearmanr": "Spearman's rank correlation of the scores with the real-label",
    "nli/accuracy": "share of pairs with the right label",
    "ner/entity_macro_f1": "exact-span F1 (strict IOB2, no spaces), mean of the types in gold or prediction",
    "ner/entity_macro_f1_with_spaces": "exact-span F1 (strict IOB2) on all rows, spaces too, mean of types",
    "ner/entity_micro_f1": "exact-span F1 (strict IOB2, no spaces), all types pooled",
    "ner/char_macro_f1": "mean F1 of all 13 tags with O, two O added a sentence; an absent tag counts 100",
    "ner/char_macro_f1_without_o": "mean F1 of the entity tags in gold or prediction, O apart (the paper's)",
    "re/micro_f1": "F1 pooled over the 29 relations; a right no_relation counts nothing",
    "re/macro_f1": "mean F1 of those of the 29 relations that occur in gold or prediction",
    "re/auprc": "trapezoid area under the precision-recall curve, mean of 30 classes with no_relation",
    "re/auprc_without_no_relation": "mean average precision of the relations in gold, no_relation apart",
    "dp/uas_macro_f1": "mean F1 of the head positions 0, 1, 2, ... taken for classes",
    "dp/uas_micro_f1": "share of words with the right head",
    "dp/las_macro_f1": "mean F1 of 16 labels (the last 23 are one); wrong heads make one more class, of F1 0",
    "dp/las_micro_f1": "share of words with the right head and the right one of the 16 labels",
    "dp/uas": "share of words with the right head",
    "dp/las": "share of words with the right head and the right one of all 38 labels",
    "mrc/em": "exact match without case and ASCII punctuation; brackets 《》〈〉 and quotes ‘’ stay",
    "mrc/rouge_w": "F1 on the longest common run of characters (difflib with autojunk); no ROUGE-W",
    "mrc/em_clean": "exact match, brackets 《》〈〉 and quotes ‘’ made spaces as the official code means to",
    "mrc/rouge_w_clean": "F1 on the longest common run, normalized as for em_clean, no autojunk",
    "mrc/char_f1": "F1 on the bag of characters without spaces (KorQuAD's), normalized as for em_clean",
    "wos/jga": "joint goal accuracy: share of turns with exactly the right state",
    "wos/slot_f1": "mean over turns of each turn's F1; an empty state predicted empty counts 100",
    "wos/slot_f1_pooled": "F1 of the state strings pooled over all turns",
}
"""Metric name -> what it is, in a line. Every value is a percent, higher is better."""
