"""From a recipe to the start of the word embeddings: what its method reads is opened and checked here."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe
from xpt.run.bilingual import files_read
from xpt.text.causal import CausalCollator
from xpt.text.encoding import EncodedSentences
from xpt.text.examples import Examples
from xpt.text.masking import IGNORE_INDEX, MLMCollator
from xpt.text.packing import Row
from xpt.text.special_tokens import SpecialIds, id_count
from xpt.text.tokenizer import load_tokenizer
from xpt.training.evaluation import predictions
from xpt.transplant.architectures import CLM, is_causal
from xpt.transplant.embeddings import MAX_TOKENS, EmbeddingContext, Start, Vocabulary
from xpt.transplant.embeddings.algebra import one_thread
from xpt.transplant.embeddings.context import OUTPUT_NAME, TENSOR_NAME, ParallelText
from xpt.transplant.embeddings.files import read_dictionary, read_lines, read_parallel
from xpt.transplant.embeddings.mixing import mixed_bias
from xpt.transplant.embeddings.scale import scaled_by, scaled_to_source
from xpt.transplant.embeddings.settings import StartSettings
from xpt.transplant.source import Source, open_source

SAMPLE = 64  # training sentences by which a scale is judged
SCALES = tuple(2 ** (exponent / 2) for exponent in range(4, -11, -1))  # from 4 to 1/32
NEAR = 0.05  # nats per masked token above word frequencies that still count as theirs


def start_settings(recipe: Recipe) -> StartSettings:
    """The recipe's words for the start."""
    names = StartSettings.__dataclass_fields__
    return StartSettings(**{name: getattr(recipe.source, name) for name in names})


def check_start(recipe: Recipe, source: Source) -> None:
    """Find what the start lacks before the text is read. Raises `XPTError`."""
    settings = start_settings(recipe)
    settings.check(files_read(recipe))
    if settings.method.compares:
        source_vocabulary(settings, source)
    if source.output_embeddings is not None and settings.embedding_scale == "unigram":
        raise XPTError(
            f"--embedding_scale unigram scales tied embeddings, and source {source.name} has an output "
            "matrix of its own; give source or none"
        )
    if recipe.source.output_bias_init == "mixed":
        if not settings.method.compares:
            raise XPTError(
                f"--output_bias_init mixed, but --embedding_init {settings.embedding_init} mixes nothing; "
                "give unigram"
            )
        if source.output_bias is None:
            raise XPTError(
                f"--output_bias_init mixed, but source {source.name} has no output bias; give unigram"
            )
    if settings.dictionary:
        read_dictionary(settings.dictionary)
    if settings.parallel:
        read_parallel(settings.parallel, settings.alignments)
    for path in settings.source_text or ():
        next(read_lines(path, "--source_text"), None)
    if settings.donor:
        _open_donor(settings.donor, recipe.tokenizer.tokenizer_name_or_path)


def source_vocabulary(settings: StartSettings, source: Source) -> Vocabulary:
    """The pieces of the source's own tokenizer. Raises `XPTError` where it has none that fits."""
    place = source.name if source.commit else Path(source.name).expanduser()
    causal = source.objective == CLM
    try:
        tokenizer = load_tokenizer(place, source.commit, causal=causal, roles=() if causal else None)
    except XPTError as error:
        raise XPTError(
            f"--embedding_init {settings.embedding_init} compares the source's pieces, but {error}"
        ) from error
    if id_count(tokenizer) > len(source.word_embeddings):
        raise XPTError(
            f"source {source.name}: its tokenizer has {id_count(tokenizer):,} ids for "
            f"{len(source.word_embeddings):,} word embeddings; put its own tokenizer beside it"
        )
    return Vocabulary.of(tokenizer)


def start_embeddings(
    recipe: Recipe,
    source: Source,
    tokenizer: PreTrainedTokenizerFast,
    special: SpecialIds,
    sample: EncodedSentences,
    joint: bool = False,
    rows: Tensor | None = None,
) -> tuple[Start, EmbeddingContext]:
    """The start that the recipe names, scaled to the source's where it says so, and what it came from.

    Args:
        recipe: says which, and which files.
        source: of which rows are copied, mixed or measured.
        tokenizer: of the target language.
        special: its special ids.
        sample: of the training split.
        joint: whether the vocabulary is for the source's language too, whose words then translate themselves.
        rows: the source's matrix that the start is made from and for, where it is not its word embeddings.

    Raises:
        XPTError: files that cannot be used.
    """
    settings = start_settings(recipe)
    settings.check(files_read(recipe))
    compares = settings.method.compares
    theirs = source_vocabulary(settings, source) if compares else None
    text = _encode(settings.source_text, theirs) if settings.source_text and theirs else None
    context = EmbeddingContext(
        source_embeddings=source.word_embeddings if rows is None else rows,
        tensor_name=TENSOR_NAME if rows is None else OUTPUT_NAME,
        vocab_size=special.vocab_size,
        special=special,
        ids=sample.ids,
        offsets=sample.offsets,
        seed=recipe.training.seed,
        initializer_range=source.config.initializer_range,
        target=Vocabulary.of(tokenizer) if compares else None,
        source=theirs,
        source_ids=None if text is None else text.ids,
        source_offsets=None if text is None else text.offsets,
        dictionary=_dictionary(settings, joint),
        parallel=_parallel(settings, joint),
        donor=_donor_rows(settings.donor, tokenizer) if settings.donor else None,
    )
    start = settings.method.start(context)
    return (scaled_to_source(start, context) if settings.embedding_scale == "source" else start), context


def _dictionary(settings: StartSettings, joint: bool) -> list[tuple[str, str]] | None:
    if settings.dictionary is None:
        return None
    pairs = read_dictionary(settings.dictionary)
    return list(dict.fromkeys([*pairs, *((word, word) for word, _ in pairs)])) if joint else pairs


def _parallel(settings: StartSettings, joint: bool) -> ParallelText | None:
    if settings.parallel is None:
        return None
    text = read_parallel(settings.parallel, settings.alignments)
    if not joint:
        return text
    own = [(sentence, sentence) for sentence, _ in text.pairs]
    links = text.links and [[(word, word) for word in range(len(one.split()))] for one, _ in own]
    return ParallelText([*text.pairs, *own], text.links and [*text.links, *(links or [])])


def output_bias(recipe: Recipe, source: Source, start: Start | None, log_probs: Tensor) -> Tensor | None:
    """The output bias at step 0, (vocab_size,), or None for zeros."""
    match recipe.source.output_bias_init:
        case "unigram":
            return log_probs
        case "mixed" if start is not None and source.output_bias is not None:
            return mixed_bias(start, source.output_bias)
        case _:
            return None


def fit_scale(
    model: Any,
    start: Start,
    sample: EncodedSentences,
    special: SpecialIds,
    log_probs: Tensor,
    max_length: int,
) -> Start:
    """The start at the largest scale at which the model's first loss is that of word frequencies.

    The output matrix is tied, so large rows make a model that knows nothing sure of it. Scales from 4 to 1/32
    are tried on a few training sentences; a scale counts that is at most 0.05 nats above, else the nearest
    does. The smallest would always come near, and the model would read nothing. `model` gets the rows.
    """
    count = min(SAMPLE, len(sample))
    few = EncodedSentences(sample.ids[: sample.offsets[count]], sample.offsets[: count + 1])
    causal = is_causal(model.config)
    examples = Examples(few, special, max_length)
    collator: Any = (
        CausalCollator(examples, packing=False) if causal else MLMCollator(examples, 0.15, 0, packing=False)
    )
    batch = collator([Row(0, np.asarray([index])) for index in range(len(examples))])
    labels = batch["labels"]
    asked = labels[labels != IGNORE_INDEX]
    if not len(asked):
        return start
    unigram = float(-log_probs[asked].mean())
    table = model.get_input_embeddings().weight
    training, losses = model.training, {}
    model.eval()
    with torch.no_grad(), one_thread():
        for scale in SCALES:
            table.copy_(start.matrix * scale)
            logits, wanted = predictions(model, batch, table.device)
            losses[scale] = float(
                torch.nn.functional.cross_entropy(logits.float(), wanted, ignore_index=IGNORE_INDEX)
            )
        model.train(training)
        best = chosen_scale(losses, unigram)
        table.copy_(start.matrix * best)
    note = (
        f"rows are scaled by {best:.3g}, where the first loss is {losses[best]:.2f} nats and that of word "
        f"frequencies {unigram:.2f} (--embedding_scale unigram)"
    )
    return scaled_by(start, best, note)


def chosen_scale(losses: dict[float, float], unigram: float) -> float:
    """The largest scale whose loss is at most `NEAR` above the unigram loss, else the one nearest to it."""
    low = [scale for scale, loss in losses.items() if loss <= unigram + NEAR]
    return max(low) if low else min(losses, key=lambda scale: abs(losses[scale] - unigram))


def _encode(paths: list[str], vocabulary: Vocabulary) -> EncodedSentences:
    """Ids of text files, a line a sentence, as far as the counts look at them."""
    ids, size = [], 0
    for path in paths:
        batch: list[str] = []
        for line in (*read_lines(path, "--source_text"), None):
            if line is not None and line.strip():
                batch.append(line)
            if batch and (line is None or len(batch) == 1000):
                for one in vocabulary.encode(batch):
                    ids.append(np.asarray(one, dtype=np.uint32))
                    size += len(one)
                batch = []
            if size >= MAX_TOKENS:
                break
    if not size:
        raise XPTError(f"--source_text {' '.join(paths)}: no line of text")
    return EncodedSentences.of(ids)


def _open_donor(name: str, target: str | None) -> Source:
    """The donor; where the target's tokenizer is named already, it must be the donor's."""
    if target is None:
        raise XPTError("--donor: name its tokenizer as the target's too (--tokenizer_name_or_path)")
    donor = open_source(name)
    _check_donor(name, donor, load_tokenizer(target))
    return donor


def _check_donor(name: str, donor: Source, tokenizer: PreTrainedTokenizerFast) -> None:
    place = donor.name if donor.commit else Path(donor.name).expanduser()
    if load_tokenizer(place, donor.commit).get_vocab() != tokenizer.get_vocab():
        raise XPTError(f"--donor {name} has another vocabulary than the target's tokenizer; give one of it")
    if id_count(tokenizer) > len(donor.word_embeddings):
        raise XPTError(f"--donor {name} has fewer word embeddings than its tokenizer has ids; get it anew")


def _donor_rows(name: str, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    donor = open_source(name)
    _check_donor(name, donor, tokenizer)
    return donor.word_embeddings[: id_count(tokenizer)]
