"""What `launch.py info` says of a spiking network that was trained here."""

from typing import Any

from host.show.entries import list_entries
from models.checkpoint import Model
from models.dvs.samples import DvsError
from models.dvs.spike_frames import SpikeBins

_LISTS = ("labels", "predictions")  # of the record: a number for each test sample


def describe(model: Model) -> list[tuple[str, str]]:
    """Return how events become spikes, and what training recorded, as rows of label and text."""
    stored: Any = model.provenance.get("bins")
    if not isinstance(stored, dict):
        return []
    try:
        rows = [("spikes", SpikeBins(**stored).described())]
    except (DvsError, TypeError):
        return []
    record = model.provenance.get("record")
    short = {name: value for name, value in record.items() if name not in _LISTS} if isinstance(record, dict) else {}
    return [*rows, *list_entries("record", short)]
