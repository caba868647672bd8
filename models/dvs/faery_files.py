"""Files of event cameras that faery reads (the extra `events`): AEDAT 4, EVT 2 and 3, .dat, ES, and CSV with named columns.

faery gives times in microseconds, row 0 at the top and ON as true, whatever the file has. Of a file that breaks off, the events
before are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.dvs.event_columns import columns_of
from models.dvs.labelled_folders import Recording
from models.dvs.samples import Damage, DvsError
from models.dvs.sensors import on_sensor, smallest_sensor
from models.input_file import InputError, check_input
from models.network import Array

EXTRA = "pip install 'gennaker[events]'"
_ANY_SIZE = (65_535, 65_535)  # for files without one: it is taken from the pixels
_HEADER_BYTES = 1024
_VALUES = ((b"1", b"0"), (b"true", b"false"), (b"True", b"False"), (b"1", b"-1"), (b"on", b"off"), (b"ON", b"OFF"))


def read_events(path: Path, damages: list[Damage], **given: Any) -> Recording:
    """Return the events of a file of event cameras, and how they were read.

    `given` goes to faery. `DvsError` for a file without events, of too small a sensor, or where faery is not installed.
    """
    try:
        check_input(path)
    except InputError as error:
        raise DvsError(str(error)) from None
    try:
        import faery
    except ModuleNotFoundError:
        raise DvsError(f"is read by faery, which this Python lacks; {EXTRA}") from None
    parts, size = list[Array](), _ANY_SIZE
    try:
        stream = faery.events_stream_from_file(path, dimensions_fallback=_ANY_SIZE, **given)
        size = stream.dimensions()
        parts.extend(packet.copy() for packet in stream)
    except BaseException as error:  # its parser in Rust panics beside exceptions
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        why = " ".join(str(error).split())[:160]
        if not any(len(part) for part in parts):
            raise DvsError(f"holds no event that faery can read ({why})") from None
        damages.append(Damage(str(path), 0, f"breaks off ({why}): events before are kept"))
    if not any(len(part) for part in parts):
        raise DvsError("holds no event that faery can read")
    rows = np.concatenate(parts)
    t_us, x, y = (rows[name].astype(np.int64) for name in ("t", "x", "y"))
    why = ""
    if tuple(size) == _ANY_SIZE:
        size, why = smallest_sensor(x, y)
    events, scaled = on_sensor(t_us, x, y, rows["on"].astype(np.bool_), (int(size[0]), int(size[1])))
    return events, f"microseconds, ON is 1, sensor {why or scaled}" + (f": {scaled}" if why else "")


def read_table(path: Path, damages: list[Damage]) -> Recording:
    """Return the events of a CSV file, whose first line names its columns in any order, and how they were read."""
    header, first = [*_first_lines(path), "", ""][:2]
    separator = next((mark for mark in (",", ";", "\t", " ") if mark in header), ",")
    names = [name.split("@")[0].strip() for name in header.split(separator)]
    columns = columns_of(names)
    cells = first.split(separator)
    value = cells[columns.p].strip().encode() if len(cells) > columns.p else b"1"
    on, off = next((pair for pair in _VALUES if value in pair), _VALUES[0])
    if value == b"1" and b"-1" in _polarities(path, separator, columns.p):
        on, off = b"1", b"-1"
    try:
        import faery
    except ModuleNotFoundError:
        raise DvsError(f"is read by faery, which this Python lacks; {EXTRA}") from None
    scale = columns.unit_us("us")
    properties = faery.CsvProperties(
        has_header=True, separator=separator.encode(), t_index=columns.t, x_index=columns.x, y_index=columns.y,
        on_index=columns.p, t_scale=0.0 if scale == 1.0 else scale, on_value=on, off_value=off, skip_errors=False,
    )  # fmt: skip
    events, reading = read_events(path, damages, csv_properties=properties, file_type="csv")
    description = f"columns {', '.join(names)}, times in {columns.unit or 'us'}" + ("" if columns.unit else " (not said)")
    return events, f"{description}, {off.decode()} is OFF; {reading}"


def _first_lines(path: Path) -> list[str]:
    try:
        check_input(path)
    except InputError as error:
        raise DvsError(str(error)) from None
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES).decode("utf-8", "replace").splitlines()


def _polarities(path: Path, separator: str, column: int) -> set[bytes]:
    """Return the polarities that the first lines of a table have."""
    rows = (line.split(separator) for line in _first_lines(path)[1:])
    return {row[column].strip().encode() for row in rows if len(row) > column}
