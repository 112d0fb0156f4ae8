"""Text becomes rows of token ids: cleaned and split, encoded by a tokenizer, packed and masked.

Files, dumps and Hub data sets go in, tensors come out. Nothing here knows a model.
"""
