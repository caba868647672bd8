"""What `launch.py info` says of a language model."""

from host.show.entries import plain_text
from models.checkpoint import Model
from models.text.vocabulary import Vocabulary


def describe(model: Model) -> list[tuple[str, str]]:
    """Return decoder, vocabulary and texts of a checkpoint that is nothing else, as rows of label and text."""
    if model.gesture is not None or model.front or model.head or model.twins or model.parts:
        return []
    rows = [("decoder", _decoder(model))]
    if model.vocabulary:
        rows += [("vocabulary", f"{len(model.vocabulary):,} words"), ("sha256", Vocabulary(model.vocabulary).sha256)]
    else:
        without = "none: runs on word numbers (`lm --ids FILE`) until imported with its text"
        rows.append(("vocabulary", "none" if model.embedding is None else without))
    rows.append(("text", ", ".join(f"{split} {len(numbers):,} words" for split, numbers in model.tokens.items()) or "none stored"))
    rows.append(("text licence", plain_text(model.text_licence) or "not stated"))
    return rows


def _decoder(model: Model) -> str:
    if model.embedding is None:
        return "none: a bare stack of layers"
    words, units = model.embedding.shape
    text = f"tied to the embedding, {words:,} words x {units:,}"
    if model.projection is not None:
        rows, columns = model.projection.weight.shape
        text += f"; behind a projection {columns:,} > {rows:,}, {model.projection.activation}"
    return text
