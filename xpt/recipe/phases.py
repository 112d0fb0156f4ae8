"""What a user says of the phases of post-training, and of the rows that they read."""

import json
from dataclasses import dataclass

from xpt.program.errors import XPTError
from xpt.program.settings import check_values, option
from xpt.training.rates import read_factors


@dataclass
class PhaseArguments:
    """Phases of post-training, and the rows they read.

    In phase 1 the English layers are frozen, in phase 2 everything learns (Lee et al. 2021).

    Raises:
        XPTError: text where a number is wanted.

    Example:
        >>> phases = xpt.PhaseArguments(phase1_steps=440, phase2_steps=800, dropout=0.0)
        >>> phases.phase1_mlm_probability, phases.max_seq_length
        (0.15, 128)
    """

    phase1_steps: int = option(
        30_000, "Steps with the English layers frozen. RE22: 60K in all; split not published."
    )
    phase2_steps: int = option(30_000, "Steps with everything trained: the other half.")
    phase1_learning_rate: float | None = option(None, "Peak rate of phase 1. Default: --learning_rate.")
    phase2_learning_rate: float | None = option(None, "Peak rate of phase 2. Default: --learning_rate.")
    learning_rates: dict[str, float] | str | None = option(
        None,
        "Factors of the rate by parameter group, for all phases; in a recipe `learning_rates: "
        "{word_embeddings: 2.0}`. The smallest group that a tensor is in counts; groups: see --phases. "
        "Default: none.",
    )
    phase1_mlm_probability: float | list[float] = option(
        0.15,
        "Share of tokens masked in phase 1 (BERT and RoBERTa: 0.15); two: of the first step and the last, "
        "with the same change at each step between (Ankner et al. 2024: 0.3 0.15).",
    )
    phase2_mlm_probability: float | list[float] = option(
        0.15, "Share of tokens masked in phase 2 (the same)."
    )
    whole_word_masking: bool = option(
        False,
        "Mask all pieces of a word together; the share of tokens stays. A word stands between blanks (in "
        "Korean an eojeol). Evaluation masks single tokens all the same, so that losses compare.",
    )
    phases: str | None = option(
        None,
        "Another list of phases, in a recipe as YAML; see configs/methods. A phase has name, train, steps, "
        "learning_rate, learning_rates, warmup_steps, lr_scheduler_type, mlm_probability, rewarm (false: the "
        "schedule and the moments of the phase before go on), lora (r, lora_alpha, lora_dropout, "
        "target_modules, merge), unfreeze (top_down, bottom_up: one encoder layer more at a time), until "
        "(every, patience, least: it ends where validation loss has not improved by so much for so long), "
        "start_from (an earlier phase or initial, or several by group, merged; a list is their mean), and, "
        "for TreLM, objective (mlm, cdlm, cdlm+mlm; a decoder's is clm), direction (to_target, to_source), "
        "languages of masked text (target, source, both) and mixture (rows by turns: {cdlm: 1, mlm: 1}). It "
        "trains groups: word_embeddings, source_embeddings (.position, .token_type, .norm), itl (.in, .out), "
        "encoder (.0, ..., .top2, .bottom2, .upper, .lower), language_embeddings, tri, lm_head_transform, "
        "lm_head_bias, a decoder's output_embeddings and final_norm; new, all, lora. What phases named "
        "phase1 and phase2 (or phase1-..., "
        "phase2-...) leave open is given by the flags above. Default: phase1 trains new, phase2 all.",
    )
    dropout: float | None = option(
        None,
        "Share of activations dropped in training. Default: the source's own (RoBERTa: 0.1). 0 learns more "
        "and sooner where the text is read about once; the checkpoint keeps the source's for fine-tuning.",
    )
    frozen_dropout: bool = option(
        False,
        "Dropout in frozen layers too, as a stock model in training mode has it (not published; "
        "configs/methods keep it). Without, phase 1 is faster and takes less memory.",
    )
    max_seq_length: int = option(128, "Tokens of a row, `<s>` and `</s>` included; longer sentences are cut.")
    packing: bool = option(
        True, "Several sentences share a row without seeing each other: no padding to compute."
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.learning_rates is not None:
            self.learning_rates = _factors(self.learning_rates)


def _factors(given: dict[str, float] | str) -> dict[str, float]:
    try:
        return read_factors(json.loads(given) if isinstance(given, str) else given)
    except json.JSONDecodeError as error:
        raise XPTError(f'--learning_rates is not JSON: {error}; give it as {{"itl": 2.0}}') from error
    except (TypeError, ValueError) as error:
        raise XPTError(f"--learning_rates: {error}") from error
