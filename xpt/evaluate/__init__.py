"""Evaluation without training: the answer is the choice that a language model finds likeliest.

A checkpoint and test items go in, scores beside chance come out. And whether a training text holds the items.

The scoring is this package's own, not lm-evaluation-harness's, whose prompts, shots and scores it repeats: a
test compares them item by item. The harness's tasks read KoBEST from the Hub alone, it needs six packages and
theirs that nothing else here needs, keeps what it has scored as pickles, and scores no masked models.
"""
