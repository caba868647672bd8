"""What a workload adds to `launch.py paper --outlook`: forms of a model, from as it was published to what quantising makes of it.

`outlook.py` in a workload's folder has `outlook_rows()`, which returns `OutlookRow`s; the first is what the others are measured by.
"""

from __future__ import annotations

from typing import NamedTuple

from host.options import RunOptions


class OutlookRow(NamedTuple):
    """A form of a model: `title` and what its `quality` is called and was, over a whole test split as its checkpoint says.

    `options` say what is priced: checkpoint, format, mapping and PEs, over `sequences` words or samples. Without a checkpoint that
    is shipped there is a note in their place, which says what makes one.
    """

    title: str
    quality: str
    options: RunOptions | None
    sequences: int = 1
    note: str = ""
