"""Fine-tuning of any model on any task: backbone, features, heads, training, scores, what went wrong.

A checkpoint and examples go in, a folder with the best weights and their scores comes out. Nothing here knows
post-training, so that every model gets the same. `heads` is what transformers lacks, `klue` and `kobest` are
benchmarks.
"""
