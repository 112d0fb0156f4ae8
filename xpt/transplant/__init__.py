"""A source becomes a model: what is copied of it, what is new around it, and how that starts.

A checkpoint, a vocabulary and counts of its pieces go in, a model at step 0 comes out. Nothing here trains.
"""
