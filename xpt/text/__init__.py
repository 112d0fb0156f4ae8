"""Text becomes rows of token ids: corpora are cleaned and split, a tokenizer is trained, rows are packed and masked.

Files, dumps and Hub data sets go in, tensors come out. Nothing here knows a model.
"""
