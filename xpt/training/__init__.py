"""A model and rows become a trained model: phases, exact resume, evaluation, processes, the fast path.

Tensors go in and weights come out. Nothing here opens a text file.
"""
