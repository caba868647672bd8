"""The options of `launch.py lm`."""

from dataclasses import dataclass
from functools import partial

from host.errors import HostError
from host.flags import Number, OneOf, Text, Whole, YesNo, option
from host.options import RunOptions
from host.workloads.lm import GATES

# As models/checkpoint has them, which is too heavy for the launcher.
STATES = ("zeroed", "carried")
SPLITS = ("valid", "test")
DEFAULT_TOKENS = 700  # ten of the authors' segments of 70
DEFAULT_WORDS = 40
_HIGHEST_TEMPERATURE = 1e6  # far beyond this every word is as likely as any other
_MOST_WORDS = 1_000_000
_of_text = partial(option, group="text (default: the checkpoint's, else Python's documentation)")
_of_prompt = partial(_of_text, sweep=False)


@dataclass(frozen=True)
class Options(RunOptions):
    """A language model on a text, or from a prompt."""

    state: str | None = option(
        None,
        f"cell states at a segment's beginning: {' or '.join(STATES)} (default: as the checkpoint says)",
        bounds=OneOf(lambda: STATES),
        metavar="NAME",
    )
    gate: str | None = option(
        None,
        "an EGRU whose reset gate is after the recurrent product (the authors' code) or inside it (the paper's equation 4): the "
        "shipped or seeded model of that form; of a file, the form that it must have",
        bounds=OneOf(lambda: tuple(GATES)),
        metavar="NAME",
    )
    split: str | None = _of_text(
        None, f"{' or '.join(SPLITS)}, where the text has splits (default test)", bounds=OneOf(lambda: SPLITS), metavar="NAME"
    )
    text: str | None = _of_text(None, "any UTF-8 text file", bounds=Text(), metavar="FILE", file=True)
    ids: str | None = _of_text(
        None, "word numbers, for a model with or without its words: .npy, or .txt with blanks between",
        bounds=Text(), metavar="FILE", file=True,
    )  # fmt: skip
    force: bool = _of_text(False, "run a text whose words mostly are not the model's", bounds=YesNo(), sweep=False)
    wikitext: str | None = _of_text(
        None, "a folder with wiki.test.tokens (WikiText's layout)", bounds=Text(), metavar="DIR", file=True
    )
    tokens: int | None = _of_text(
        None, f"how many tokens to score, of each sequence (default {DEFAULT_TOKENS})", bounds=Whole(1), metavar="N"
    )
    prompt: str | None = _of_prompt(None, "continue this text instead of scoring one", bounds=Text(empty=True), metavar="TEXT")
    generate: int | None = _of_prompt(
        None, f"words to generate after --prompt (default {DEFAULT_WORDS})", bounds=Whole(0), metavar="N"
    )
    temperature: float = _of_prompt(
        1.0, "with --prompt; 0 takes the likeliest word", bounds=Number(0.0, _HIGHEST_TEMPERATURE), metavar="T"
    )
    top_k: int = _of_prompt(0, "with --prompt; draw among the K likeliest words, 0: among all", bounds=Whole(0), metavar="K")
    seed: int = _of_prompt(1, "with --prompt; of the words drawn", bounds=Whole(0), metavar="N")

    @property
    def words(self) -> int:
        """How many words a prompt is continued by; 0 without a prompt."""
        if self.prompt is None:
            return 0
        return DEFAULT_WORDS if self.generate is None else self.generate

    @property
    def streams_text(self) -> bool:
        """Whether the run makes a text that a person wants to see grow."""
        return self.prompt is not None

    def check(self) -> None:
        """Raise HostError, one line, for a value out of its bounds or options that contradict each other."""
        super().check()
        texts = {"--text": self.text, "--ids": self.ids, "--wikitext": self.wikitext, "--prompt": self.prompt}
        flags = [flag for flag, value in texts.items() if value is not None]
        if len(flags) > 1:
            raise HostError(f"{' and '.join(flags)}: choose one")
        if self.split is not None and flags and self.wikitext is None:
            raise HostError(f"--split {self.split}: goes with a text that has splits, not with {flags[0]}")
        if self.prompt is None:
            if self.generate:
                raise HostError("--generate needs --prompt")
            return
        if not 1 <= self.words <= _MOST_WORDS:
            raise HostError(f"--generate {self.words}: needs 1 to {_MOST_WORDS:,} words")
        if self.tokens is not None:
            raise HostError("--tokens goes with a text; a prompt goes with --generate")
        if self.batch != 1:
            raise HostError(f"--batch {self.batch}: a prompt is continued one sequence at a time; use --batch 1")
