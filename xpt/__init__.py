"""Cross-lingual Post-Training: a pre-trained English encoder becomes one of another language."""

__version__ = "0.1.0"
