"""What `launch.py info` says of the linear layers around a network."""

from models.checkpoint import Model
from models.heads.affine import describe_chain


def describe(model: Model) -> list[tuple[str, str]]:
    """Return front end and head of a checkpoint that has one, as rows of label and text."""
    rows = []
    if model.front:
        rows.append(("front end", f"on the host: {describe_chain(model.front)}"))
    if model.twins or model.head:
        rows.append(
            ("head", "on the host: " + ", ".join(filter(None, ["twins subtracted" * model.twins, describe_chain(model.head)])))
        )
    return rows
