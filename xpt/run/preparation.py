"""From a recipe to what training needs: clean text, a tokenizer, token ids, and the model at step 0.

Everything of text is kept in the cache under the fingerprint of what it depends on, so the same preparation
is never done twice and a changed setting redoes exactly what hangs on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from xpt.program.cache import cache_home, cache_key
from xpt.program.errors import XPTError
from xpt.program.files import check_writable, write_folder_atomically
from xpt.program.manifest import is_whole, write_manifest
from xpt.recipe.recipe import Recipe
from xpt.run.bilingual import Bilingual, OtherLanguage, check_bilingual, prepare_bilingual
from xpt.run.start import check_start, fit_scale, output_bias, start_embeddings
from xpt.run.unserved import check_causal, check_modernbert
from xpt.run.vocabulary import keeps_vocabulary, ready_tokenizer
from xpt.text.corpus import Corpus, build_corpus
from xpt.text.encoding import EncodedSentences, encode_sentences
from xpt.text.examples import Examples, ExampleSet
from xpt.text.language import find_language
from xpt.text.morphemes import Segmenter
from xpt.text.packing import TARGET, RowSource
from xpt.text.shards.examples import ShardedExamples
from xpt.text.shards.opening import open_shards
from xpt.text.shards.store import ShardStore
from xpt.text.special_tokens import SpecialIds
from xpt.text.tokenizer import load_tokenizer, save_tokenizer, tokenizer_fingerprint
from xpt.text.tokenizer_training import train_tokenizer
from xpt.training.evaluation import unigram_log_probs
from xpt.transplant.architectures import CLM, MODERNBERT, architecture_around
from xpt.transplant.embeddings import MAX_TOKENS
from xpt.transplant.source import Source, TransplantSettings, check_transplant, transplant

TOKENIZER_BUILD = "3"  # raised when the same text and choices train another tokenizer
MORPHEMES_BUILD = "1"  # the same, where text is cut into morphemes before
IDS_BUILD = "3"  # raised when the folder of the same ids holds something else
HELD_OUT = ("validation", "test")
FITTED_LENGTH = 512  # tokens of a decoder's sentence by which a scale is judged, of the thousands it reads
SPLITS = ("train", *HELD_OUT)


@dataclass(frozen=True)
class PreparedText:
    """Text as training reads it.

    Args:
        corpus: clean sentences in three splits, and the report of how they came to be.
        tokenizer: of the target language.
        special: the ids of its special tokens.
        train: the training split as token ids.
        held_out: the others, "validation" and "test".
        counts: how often each id stands in the training split, (vocab_size,).
        morphemes: who cut the text that the tokenizer was trained on, where somebody did.
        bilingual: text of the source's language and sentence pairs, where phases read them.
        causal: whether it is for a decoder, which is asked for the end of each text, too.

    Example:
        >>> text = xpt.prepare_text(xpt.read_recipe("tiny.yaml"))
        >>> sorted(text.held_out), text.counts.shape, tuple(text.log_probs.shape)
        (['test', 'validation'], (300,), (300,))
    """

    corpus: Corpus
    tokenizer: PreTrainedTokenizerFast
    special: SpecialIds
    train: ExampleSet
    held_out: dict[str, Examples]  # "validation" and "test"
    counts: np.ndarray  # of each id in the training split, (vocab_size,)
    morphemes: str | None = None
    bilingual: Bilingual | None = None
    causal: bool = False

    def streams(self, packing: bool, seed: int) -> dict[str, RowSource]:
        """The rows of training on each text, by its name."""
        others = self.bilingual.streams(packing, seed) if self.bilingual else {}
        return {TARGET: self.train.rows(packing, seed), **others}

    def sample(self, tokens: int) -> EncodedSentences:
        """Training sentences of about so many tokens, of every language that the vocabulary is for."""
        own = self.train.sample(tokens)
        return own.joined(self.bilingual.source.sentences) if self.bilingual else own

    @property
    def log_probs(self) -> torch.Tensor:
        """Unigram log probabilities of the training split, (vocab_size,)."""
        counts = self.counts
        if self.causal:
            counts = counts.copy()
            counts[self.special.eos] += len(self.train)
        return unigram_log_probs(counts)

    @property
    def fingerprints(self) -> dict[str, str]:
        """What the run must find unchanged when it goes on."""
        own = {"corpus": self.corpus.fingerprint, "tokenizer": tokenizer_fingerprint(self.tokenizer)}
        return {**own, "bilingual": self.bilingual.fingerprint} if self.bilingual else own


def cache_folder(recipe: Recipe) -> Path:
    """Where prepared text is kept: `--cache_dir`, else $XPT_CACHE, else ~/.cache/xpt."""
    chosen = recipe.training.cache_dir
    return Path(chosen).expanduser() if chosen else cache_home()


def prepare_text(recipe: Recipe, source: Source | None = None) -> PreparedText:
    """Clean and split the corpus, train or load the tokenizer, and encode every split.

    Done once: what was prepared is kept in `cache_dir`.

    Args:
        recipe: says which text, which vocabulary and how long a row is.
        source: matters only where it is an XPT checkpoint, which brings a tokenizer, or a decoder, for which
            one is made without a mask, and so that it spells any character in bytes.

    Raises:
        XPTError: text or a tokenizer that cannot be used, or a split without a sentence.

    Example:
        >>> text = xpt.prepare_text(xpt.read_recipe("tiny.yaml"))
        >>> text.corpus.report["splits"]["train"]["sentences"] == len(text.corpus.split("train"))
        True
        >>> text.tokenizer.convert_ids_to_tokens([text.train[0][0]])  # of the first sentence
        ['<s>']
    """
    if not (recipe.corpus.corpus or recipe.corpus.corpus_shards):
        raise XPTError("no text: give --corpus with files, folders or a Hub data set")
    if recipe.phases.max_seq_length < 8:
        raise XPTError(f"--max_seq_length is {recipe.phases.max_seq_length}; give at least 8 tokens")
    if recipe.phases.whole_word_masking and not find_language(recipe.corpus.language).separates_words:
        raise XPTError(
            f"--whole_word_masking: {find_language(recipe.corpus.language).name} is written without blanks "
            "between words; leave it out"
        )
    causal = source is not None and source.objective == CLM
    if causal:
        check_causal(recipe)
    check_bilingual(recipe)
    cache = cache_folder(recipe)
    check_writable(cache, "--cache_dir")
    if recipe.corpus.corpus_shards:
        return _prepare_shards(recipe, source, cache)
    # What cannot serve is found before the text is read.
    ready, segmenter = ready_tokenizer(recipe, source), _segmenter(recipe)
    if ready is not None and segmenter is not None:
        raise XPTError(
            "--tokenizer_morphemes is for a tokenizer that is trained, and the source came with one; "
            "leave it out, or give --keep_vocabulary false"
        )
    other = OtherLanguage.read(recipe)
    workers = recipe.training.preprocessing_num_workers
    corpus = build_corpus(recipe.corpus.settings(), cache / "corpus", workers=workers)
    tokenizer = ready or _trained_tokenizer(recipe, corpus, cache, segmenter, other, causal)
    examples = _encode(recipe, corpus, tokenizer, SPLITS, cache)
    train = examples.pop("train")
    counts = train.sentences.counts(train.special.vocab_size)
    morphemes = segmenter.identity if segmenter else None
    bilingual = None
    if other is not None:
        held_out = chain.from_iterable(corpus.split(split) for split in HELD_OUT)
        bilingual = prepare_bilingual(other, tokenizer, held_out, recipe.phases.max_seq_length, cache)
    own = (corpus, tokenizer, train.special, train, examples, counts)
    return PreparedText(*own, morphemes, bilingual, causal)


def _prepare_shards(recipe: Recipe, source: Source | None, cache: Path) -> PreparedText:
    """Text that was prepared before, with its tokenizer; held-out text is encoded here."""
    if recipe.tokenizer.tokenizer_morphemes:
        raise XPTError(
            "--tokenizer_morphemes has no effect: shards have a tokenizer; give it to `xpt shards`"
        )
    place = str(recipe.corpus.corpus_shards)
    store = ShardStore(place, cache / "shards", round(recipe.corpus.shard_cache_gb * 1e9))
    shards = open_shards(store)
    shards.require_language(recipe.corpus.language)
    ready = ready_tokenizer(recipe, source)
    if ready is not None:
        named = recipe.tokenizer.tokenizer_name_or_path
        whose = "--tokenizer_name_or_path names; leave it out"
        whose = whose if named else "the source came with; give --keep_vocabulary false"
        shards.require_tokenizer(ready, whose)
    examples = _encode(recipe, shards.corpus, shards.tokenizer, HELD_OUT, cache)
    train = ShardedExamples(store, SpecialIds.of(shards.tokenizer), recipe.phases.max_seq_length)
    return PreparedText(shards.corpus, shards.tokenizer, train.special, train, examples, shards.counts)


def _encode(
    recipe: Recipe,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerFast,
    splits: Sequence[str],
    cache: Path,
) -> dict[str, Examples]:
    """Examples of each split. Raises `XPTError` where one has none."""
    examples, fingerprint = {}, tokenizer_fingerprint(tokenizer)
    for split in splits:
        key = cache_key(IDS_BUILD, corpus.text_hash(split), fingerprint)
        ids = encode_sentences(corpus.split(split), tokenizer, cache / "ids" / key, f"Encoding {split}")
        examples[split] = Examples(ids, SpecialIds.of(tokenizer), recipe.phases.max_seq_length)
        if not len(examples[split]):
            raise XPTError(f"the corpus leaves no {split} sentence; give more text")
    return examples


def _segmenter(recipe: Recipe) -> Segmenter | None:
    return recipe.tokenizer.settings(recipe.corpus.language).segmenter()


def _trained_tokenizer(
    recipe: Recipe,
    corpus: Corpus,
    cache: Path,
    segmenter: Segmenter | None,
    other: OtherLanguage | None,
    causal: bool,
) -> PreTrainedTokenizerFast:
    """Of the training split and, where phases read it, of the source's language too."""
    chosen = recipe.tokenizer.settings(recipe.corpus.language)
    making = {**chosen.characters, **({"byte_fallback": True, "causal": True} if causal else {})}
    own, others = corpus.split("train"), other.sentences if other else []
    count, sample = len(own) + len(others), chosen.sentences
    few = sample if sample is not None and sample < count else None
    choices = map(str, (chosen.vocab_size, chosen.model_type, few, sorted(making.items())))
    tools = (TOKENIZER_BUILD, version("sentencepiece"))
    cut: tuple[str, ...] = () if segmenter is None else (MORPHEMES_BUILD, segmenter.identity)
    cut += () if other is None else ("bilingual", other.fingerprint)
    folder = cache / "tokenizers" / cache_key(*tools, corpus.text_hash("train"), *choices, *cut)
    if not is_whole(folder):
        said = " cut into morphemes" if segmenter else ""
        print(
            f"Training a tokenizer of {chosen.vocab_size:,} pieces on {few or count:,} sentences{said} ...",
            flush=True,
        )
        trained = train_tokenizer(
            chain(own, others),
            chosen.vocab_size,
            chosen.model_type,
            max_sentences=few,
            segmenter=segmenter,
            **making,
        )
        with write_folder_atomically(folder) as staging:
            save_tokenizer(trained, staging)
            write_manifest(staging, {})
    return load_tokenizer(str(folder), causal=causal)


def transplant_settings(recipe: Recipe) -> TransplantSettings:
    """The recipe's words for the transplant."""
    arguments = recipe.source
    return TransplantSettings(
        source_num_layers=arguments.source_num_layers,
        architecture=arguments.architecture,
        layers_init=arguments.layers_init,
        num_itl_in=arguments.num_itl_in,
        num_itl_out=arguments.num_itl_out,
        itl_init=arguments.itl_init,
        lm_head_init=arguments.lm_head_init,
        seed=recipe.training.seed,
    )


def check_source(recipe: Recipe, source: Source) -> None:
    """Find what the source cannot serve before the text is read. Raises `XPTError`."""
    check_transplant(source, transplant_settings(recipe))
    check_start(recipe, source)
    wanted, positions = recipe.phases.max_seq_length, source.positions
    if wanted > positions:
        raise XPTError(f"--max_seq_length {wanted} exceeds the source's {positions} positions")
    if recipe.source.keep_vocabulary and not source.is_xpt:
        raise XPTError(
            f"--keep_vocabulary is for XPT checkpoints; source {source.name} is of the family {source.family}"
        )
    keeps_vocabulary(recipe, source)
    recipe.planned_phases(objective=source.objective)
    if architecture_around(source.family, recipe.source.architecture) is MODERNBERT:
        check_modernbert(recipe)


def prepare_model(
    recipe: Recipe, source: Source, text: PreparedText
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The transplanted model at step 0, a function of source, text and seed alone (Lee et al. 2021).

    The layers are the source's. New are the word embeddings, the Implicit Translation Layers before the first
    and after the last layer, and the output bias.

    Args:
        recipe: says how what is new starts.
        source: of which layers and positions are copied.
        text: the target language's, whose frequencies start the output bias.

    Returns:
        The model, on the CPU, and a report of what was copied and what is new.

    Raises:
        XPTError: settings that the source cannot serve.

    Example:
        >>> recipe, source = xpt.read_recipe("tiny.yaml"), xpt.open_source("tiny-roberta")
        >>> model, report = xpt.prepare_model(recipe, source, xpt.prepare_text(recipe, source))
        >>> len(model.roberta.itl_in), len(model.roberta.encoder.layer), len(model.roberta.itl_out)
        (1, 3, 1)
        >>> report["groups"]["encoder"]["new"], report["groups"]["itl"]["copied"]
        (0, 0)
    """
    settings = transplant_settings(recipe)
    kept = settings.copies_layers and keeps_vocabulary(recipe, source)
    sample = text.sample(MAX_TOKENS)
    start, described, output = None, None, None
    if not kept:
        asked = (recipe, source, text.tokenizer, text.special, sample, text.bilingual is not None)
        start, context = start_embeddings(*asked)
        if source.output_embeddings is not None:
            output = start_embeddings(*asked, rows=source.output_embeddings)[0].matrix
    model, report = transplant(
        source,
        settings,
        text.special,
        word_embeddings=None if start is None else start.matrix,
        output_bias=output_bias(recipe, source, start, text.log_probs),
        output_embeddings=output,
    )
    if start is not None:
        if recipe.source.embedding_scale == "unigram":
            length = min(FITTED_LENGTH, source.positions) if text.causal else source.positions
            start = fit_scale(model, start, sample, text.special, text.log_probs, length)
        described = {"method": recipe.source.embedding_init, **start.report(context)}
    return model, {**report, "embeddings": described}
