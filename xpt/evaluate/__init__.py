"""Evaluation without training: the answer is the choice that a language model finds likeliest.

A checkpoint and test items go in, scores beside chance come out. And whether a training text holds the items.

The scoring is this package's own, not lm-evaluation-harness's, whose prompts, shots and scores it repeats: a
test compares them item by item. The harness reads KoBEST from the Hub alone, needs nine packages that nothing
else here needs, keeps its cache as pickles, goes on only from a finished task, and scores no masked models.
"""
