"""The commands of the language trainer: `lm`, its `floors`, and `conform`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.network import SEGMENT_STATES
from models.training.common.flags import Commands, add_place_flags, add_settings_flags, prepare_torch
from models.training.language.settings import AUTHORS, LanguageSettings

LICENCES = {
    "standard-library": "PSF-2.0: documentation of Python, copyright Python Software Foundation",
    "wikitext": "CC BY-SA: WikiText by Merity et al., from Wikipedia",
}


def add_commands(commands: Commands) -> None:
    """Add the parsers of `lm`, `floors` and `conform`."""
    lm = commands.add_parser("lm", help="train a language model, prune it, write a checkpoint", allow_abbrev=False)
    lm.add_argument(
        "--data", default="stdlib", metavar="WHAT", help="stdlib, a folder in WikiText's layout, or a text file (default stdlib)"
    )
    lm.add_argument(
        "--recipe", choices=("demo", "authors"), help="defaults of the flags below (default: authors for a folder, else demo)"
    )
    add_place_flags(lm)
    lm.add_argument("--licence", default=None, metavar="TEXT", help="licence of the text, kept in the checkpoint")
    add_settings_flags(lm.add_argument_group("hyperparameters (defaults: the demo recipe)"), LanguageSettings)
    lm.set_defaults(run=_lm)

    floors = commands.add_parser("floors", help="perplexities of n-gram models on a text", allow_abbrev=False)
    floors.add_argument("--data", default="stdlib", metavar="WHAT", help="as of lm")
    floors.add_argument("--min-count", type=int, default=3, metavar="N", help="as of lm")
    floors.set_defaults(run=_floors)

    conform = commands.add_parser("conform", help="hold the emulator's kernels against the torch layer", allow_abbrev=False)
    conform.add_argument("file", metavar="CHECKPOINT", help="a checkpoint with stored tokens")
    conform.add_argument("--split", choices=("valid", "test"), default="test", help="which of its tokens (default test)")
    conform.add_argument("--tokens", type=int, metavar="N", help="how many of them are run (default 210: three segments)")
    conform.add_argument("--state", choices=SEGMENT_STATES, default=None, help="only this treatment of c (default: both)")
    conform.set_defaults(run=_conform)


def _lm(flags: dict[str, Any]) -> int:
    from models.training.language.text_streams import read_text
    from models.training.language.trainer import LanguageTrainer

    data, recipe, out = flags.pop("data"), flags.pop("recipe"), Path(flags.pop("out"))
    device, threads, licence = flags.pop("device"), flags.pop("threads"), flags.pop("licence")
    recipe = recipe or ("authors" if Path(data).is_dir() else "demo")
    chosen = {name: value for name, value in flags.items() if value is not None}
    settings = LanguageSettings(**((AUTHORS if recipe == "authors" else {}) | chosen))
    settings.check()
    place = prepare_torch(device, threads)
    text = read_text(data, settings.min_count)
    trainer = LanguageTrainer(text, settings, out, place)
    trainer.begin({"data": data})
    sizes = ", ".join(f"{name} {len(ids):,}" for name, ids in text.splits.items())
    print(f"{text.source}: {sizes} tokens, {len(text.vocabulary):,} words")
    from models.training.common.progress_bar import progress_bar

    with progress_bar(trainer.progress.iteration, trainer.iterations) as trainer.on_progress:
        trainer.run()
    from models.training.language.export import finish

    finish(trainer, licence or LICENCES.get(text.name, "unknown"), print)
    return 0


def _floors(flags: dict[str, Any]) -> int:
    from models.text.ngrams import KneserNey
    from models.training.language.text_streams import read_text

    text = read_text(flags["data"], flags["min_count"])
    print(f"{text.source}, {len(text.vocabulary):,} words; interpolated Kneser-Ney")
    print("order   valid    test")
    for order in (1, 2, 3, 4):
        model = KneserNey(text.splits["train"], len(text.vocabulary), order)
        print(f"{order:5}  {model.perplexity(text.splits['valid']):6.1f}  {model.perplexity(text.splits['test']):6.1f}")
    return 0


def _conform(flags: dict[str, Any]) -> int:
    from models.checkpoint import load
    from models.training.language.conformance import conform

    model = load(Path(flags["file"]))
    modes = (flags["state"],) if flags["state"] else SEGMENT_STATES
    agreed = [conform(model, flags["split"], flags["tokens"], mode, print) for mode in modes]
    return 0 if all(agreed) else 6
