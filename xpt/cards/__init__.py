"""What is said of a checkpoint: its card, for people and for machines, with no number that was not measured.

Results and a configuration go in, text comes out; nothing of a machine is in it.
"""
