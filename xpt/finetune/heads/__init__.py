"""Heads that transformers lacks, each around any encoder."""
