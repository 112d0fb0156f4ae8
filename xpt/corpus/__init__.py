"""Corpus: files, dumps and Hub datasets become clean, split, de-duplicated sentences on disk.

`sources` finds the inputs (`formats` by name, `guesses` by content), `opening` and `lines` read them,
`readers`, `tables` and `hub` turn them into documents, `clean` and `sentences` a document into sentences,
`workers` spreads that over the cores, `select` decides which split a sentence is in and which sentences stay,
`mixture` how many each entry gives, `stream` writes all of it to disk without holding it, `scripts` and
`report` say what was found, `build` joins these and caches, `store` reads back; `show` prints what a text
becomes.
"""

from xpt.corpus.build import build_corpus
from xpt.corpus.report import format_corpus_report
from xpt.corpus.settings import SPLIT_NAMES, CorpusSettings
from xpt.corpus.store import Corpus, Sentences

__all__ = ["SPLIT_NAMES", "Corpus", "CorpusSettings", "Sentences", "build_corpus", "format_corpus_report"]
