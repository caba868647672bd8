"""EVT 2 and 3, Prophesee's raw files. One file a recording, in folders of splits and classes
(`models/dvs/labelled_folders.py`); read by faery.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.dvs.faery_files import read_events
from models.dvs.labelled_folders import layout_of, probe_for, samples_in
from models.dvs.readers import Head
from models.dvs.samples import Damage, Sample

KIND, SUFFIX = "EVT recordings", ".raw"
LAYOUT = layout_of(SUFFIX)


def probe(head: Head) -> int:
    """Look for such files in the folders of the split."""
    return probe_for(head, SUFFIX)


def read(head: Head, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    """Yield every slice of every file."""
    return samples_in(head, SUFFIX, slice_us, damages, read_events)
