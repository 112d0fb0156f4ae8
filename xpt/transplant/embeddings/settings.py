"""What a user says of the start of the word embeddings, and what of it cannot be meant."""

from collections.abc import Collection
from dataclasses import dataclass

from xpt.program.errors import XPTError
from xpt.program.settings import option
from xpt.transplant.embeddings.methods import EMBEDDING_INITS, OVERLAP_REST, Method, method_of

SCALES = ("none", "source", "unigram")
FILES = (
    "dictionary",
    "source_text",
    "parallel",
    "alignments",
    "donor",
)  # options that only some methods read


@dataclass(frozen=True)
class StartSettings:
    """How the word embeddings start; see the options of the same names."""

    embedding_init: str = option(
        "random",
        "New word embeddings: random (P21), random with the source's statistics (matched, gaussian), "
        "distributional vectors of the target text (static: learns most where compute is short), or copies "
        "and mixes of the source's rows; docs/sources.md says what each needs.",
        choices=list(EMBEDDING_INITS),
    )
    overlap_rest: str = option(
        OVERLAP_REST[0],
        "With embedding_init overlap: how pieces start that the source has not.",
        choices=list(OVERLAP_REST),
    )
    dictionary: str | None = option(
        None,
        "Word pairs for embedding_init dictionary, one a line, the source's language first, a tab or a space "
        "between. Default: none, it must be given.",
    )
    source_text: list[str] | None = option(
        None,
        "Text files in the source's language, one sentence a line, for embedding_init dictionary, "
        "procrustes and adversarial, and for phases that read both languages. Default: none; source pieces "
        "are compared by the source's embeddings.",
    )
    parallel: str | None = option(
        None,
        "Sentence pairs for embedding_init align and for phases of objective cdlm, one a line, the source's "
        "language first, a tab between. Default: none, it must be given.",
    )
    alignments: str | None = option(
        None,
        "Links between the words of --parallel, a line for each of its lines, as 0-0 1-2 (Pharaoh). Default: "
        "found here.",
    )
    donor: str | None = option(
        None,
        "Model of the target vocabulary for embedding_init omp, Hub id or folder. Default: none, it must be "
        "given.",
    )
    embedding_scale: str = option(
        SCALES[0],
        "Scale of new embeddings: as the method gives them (none), to the source's mean norm (source), "
        "or so that the first loss is that of word frequencies (unigram).",
        choices=list(SCALES),
    )

    @property
    def method(self) -> Method:
        """The chosen one."""
        return method_of(self.embedding_init, self.overlap_rest)

    def check(self, others_read: Collection[str] = ()) -> None:
        """Raise `XPTError` where a method lacks what it needs, or a file is given that nobody reads.

        Args:
            others_read: options whose files the training reads too.
        """
        method = self.method
        named = f"--embedding_init {self.embedding_init}"
        if self.embedding_init == "overlap":
            named += f" --overlap_rest {self.overlap_rest}"
        elif self.overlap_rest != OVERLAP_REST[0]:
            raise XPTError(f"--overlap_rest has no effect with {named}; give --embedding_init overlap")
        for name in method.needs:
            if not getattr(self, name):
                raise XPTError(f"{named} needs --{name}")
        for name in FILES:
            if getattr(self, name) and name not in (*method.needs, *method.takes, *others_read):
                users = [key for key, one in EMBEDDING_INITS.items() if name in (*one.needs, *one.takes)]
                raise XPTError(
                    f"--{name} has no effect with {named}; give --embedding_init {' or '.join(users)}"
                )
