"""`python -m bench.scaling_tables`: writes the tables of docs/scaling.md, placement.md and snn.md again, from docs/scaling-*.csv.

The files are the tables of the sweeps, as `python -m bench.pictures scaling` leaves them beside the plots.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
Row = Mapping[str, str]
Cell = Callable[[Row], str]
_OF_THIS_MACHINE = ("emulation_ms", "ready_s", "problem")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a page: its sweep, its columns by their titles, and which rows of the sweep it shows."""

    sweep: str
    page: str = "scaling.md"
    columns: Mapping[str, Cell]
    shown: Sequence[Mapping[str, object]]
    rule: str = ""

    def lines(self) -> list[str]:
        """Return the table in Markdown."""
        rows = read(self.sweep)
        cells = [[cell(row_with(rows, settings)) for cell in self.columns.values()] for settings in self.shown]
        rule = self.rule or "|".join(["", *["---:"] * len(self.columns), ""])
        return [_line(self.columns), rule, *map(_line, cells)]


def read(sweep: str) -> list[dict[str, str]]:
    """Return the rows of a sweep."""
    with (DOCS / f"scaling-{sweep}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keep(table: Path, sweep: str, to: Path = DOCS) -> None:
    """Keep a sweep's table.csv beside its plot, without what depends on the machine that ran it."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in _OF_THIS_MACHINE]
    with (to / f"scaling-{sweep}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if not row["problem"])


def row_with(rows: Iterable[Row], settings: Mapping[str, object]) -> Row:
    """Return the one row with these settings."""
    (row,) = (row for row in rows if all(row[name] == str(value) for name, value in settings.items()))
    return row


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _number(name: str, digits: int = 2, unit: str = "") -> Cell:
    return lambda row: f"{float(row[name]):,.{digits}f}{unit}" if float(row[name]) else f"0{unit}"


def _setting(name: str) -> Cell:
    return lambda row: row[name] if not row[name].isdecimal() else f"{int(row[name]):,}"


def _other(sweep: str, cell: Cell, keys: Sequence[str], **changes: object) -> Cell:
    """Return a cell of the row that has the same `keys` and other settings."""
    return lambda row: cell(row_with(read(sweep), {**{key: row[key] for key in keys}, **changes}))


def _short(name: str) -> Cell:
    """Return a cell of milliseconds with two or three digits that count; from 1,000 on in seconds."""

    def cell(row: Row) -> str:
        ms = float(row[name])
        return f"{ms / 1000:.1f} s" if ms >= 1_000 else f"{ms:.{2 if ms < 1 else 1 if ms < 100 else 0}f} ms"

    return cell


def _a_position(row: Row) -> str:
    packets = int(row["busiest_link_packets"]) / 3  # the sweep's tokens
    return f"{packets / 1e6:.1f} million" if packets >= 1e6 else f"{packets:,.0f}"


def _a_position_of(positions: int, name: str) -> Cell:
    return lambda row: f"{int(row[name]) / positions:,.0f}"


def _band(row: Row) -> str:
    return f"{float(row['token_ms_low']):.2f} to {float(row['token_ms_high']):.2f}"


def _setting_words(row: Row) -> str:
    clock = row["clock"].replace("MHz", " MHz")
    messages = {"dma": "slices by DMA", "multicast": "events by multicast"}[row["messages"]]
    return f"{row['pes']} PEs, {clock}, {row['schedule']}, {messages}"


def _with_band(name: str, times: float, digits: int) -> Cell:
    """Return a cell of a figure with its band, so many times as large."""

    def cell(row: Row) -> str:
        middle, low, high = (f"{times * float(row[name + end]):.{digits}f}" for end in ("", "_low", "_high"))
        return f"{middle} ({low} to {high})"

    return cell


def _percent(row: Row) -> str:
    percent = float(row["activity_percent"])
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"  # two digits that count


def _cost(**settings: object) -> Cell:
    time, energy = _number("token_ms"), _number("token_mj")
    return _other("activity", lambda row: f"{time(row)} ms, {energy(row)} mJ", ("activity",), **settings)


_PES = {"csr": (110, 130, 152), "packed": (73, 110, 152)}
_CHIPS = ("mapping", "chips")
_STRONG = [{"mapping": "uniform", "chips": n, "schedule": "sequential"} for n in (1, 2, 4, 8)]
_STRONG += [{"mapping": m, "chips": n, "schedule": "sequential"} for m, n in (("balanced", 8), ("clustered", 4), ("clustered", 8))]
TABLES = [
    Table(
        sweep="pes", rule="|---|---:|---:|---|---:|---:|---:|",
        columns={
            "format": _setting("format"), "PEs": _setting("pes"), "ms a token": _number("token_ms"), "band": _band,
            "mW": _number("power_mw", 0), "mJ a token": _number("token_mj"),
            "weights, fullest PE": _number("weights_bytes", 0, " B"),
        },
        shown=[{"format": form, "pes": n} for form, counts in _PES.items() for n in counts],
    ),
    Table(
        sweep="formats",
        columns={
            "activity shown": _percent,
            "`csr`, ms a token": _number("token_ms"),
            "`packed`": _other("formats", _number("token_ms"), ("activity",), format="packed"),
            "`dense`": _other("formats", _number("token_ms"), ("activity",), format="dense"),
        },
        shown=[{"format": "csr", "activity": a} for a in (0, 0.05, 0.2, 0.5, 1)],
    ),
    Table(
        sweep="clock-and-schedule", rule="|---|---|---:|---:|---:|",
        columns={
            "clock": lambda row: {"150MHz": "150 MHz, 0.5 V", "300MHz": "300 MHz, 0.8 V"}[row["clock"]],
            "schedule": _setting("schedule"), "ms a token": _number("token_ms"), "mW": _number("power_mw", 0),
            "mJ a token": _number("token_mj"),
        },
        shown=[
            {"clock": c, "schedule": s, "messages": "dma", "exponential": "soft"}
            for c in ("150MHz", "300MHz") for s in ("sequential", "pipelined")
        ],
    ),
    Table(
        sweep="strong", rule="|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        columns={
            "chips": _setting("chips"), "mapping": _setting("mapping"), "sequential": _number("token_ms"),
            "computation": _number("computation_ms"), "communication": _number("communication_ms"),
            "of it links": _number("links_ms", 3), "pipelined": _other("strong", _number("token_ms"), _CHIPS, schedule="pipelined"),
            "mJ sequential": _number("token_mj"),
            "mJ pipelined": _other("strong", _number("token_mj"), _CHIPS, schedule="pipelined"),
            "packets on the busiest link": _number("busiest_link_packets", 0),
        },
        shown=_STRONG,
    ),
    Table(
        sweep="weak", rule="|---:|---|---:|---:|---:|---:|---:|---:|",
        columns={
            "chips": _setting("chips"), "units by layer": lambda row: row["layers"].replace("x", ", "),
            "weights, fullest PE": _number("weights_bytes", 0, " B"), "sequential, ms": _number("token_ms"),
            "computation": _number("computation_ms"), "communication": _number("communication_ms"),
            "pipelined, ms": _other("weak", _number("token_ms"), ("chips",), schedule="pipelined"),
            "mJ sequential": _number("token_mj"),
        },
        shown=[{"chips": n, "schedule": "sequential"} for n in (1, 2, 4, 8)],
    ),
    Table(
        sweep="activity",
        columns={
            "units with an event": lambda row: f"{float(row['activity_percent']):.3g} %",
            "csr, 1 chip": _cost(format="csr", chips=1), "packed, 1 chip": _cost(format="packed", chips=1),
            "csr, 10 chips": _cost(format="csr", chips=10), "packed, 10 chips": _cost(format="packed", chips=10),
            "dense (event loop), 10 chips": _cost(format="dense", chips=10),
            "packets over links, 10 chips, csr": _number("link_packets", 0),
        },
        shown=[{"format": "csr", "chips": 10, "activity": a} for a in (0, 0.1, 0.2, 0.5, 1)],
    ),
    Table(
        sweep="board",
        columns={
            "chips": _setting("chips"), "PEs": _setting("pes"), "ms a token": _number("token_ms"),
            "computation": _number("computation_ms"), "communication": _number("communication_ms"),
            "of it links": _number("links_ms", 3), "mJ a token": _number("token_mj", 1),
        },
        shown=[{"mapping": "uniform", "chips": n} for n in (8, 16, 32, 48)],
    ),
    Table(
        sweep="machine",
        columns={
            "chips": _setting("chips"), "PEs": _setting("pes_used"), "computation, `csr`": _short("computation_ms"),
            "computation, `packed`": _other("machine", _short("computation_ms"), ("chips",), format="packed"),
            "communication": _short("communication_ms"), "packets on the busiest link, a position": _a_position,
        },
        shown=[{"format": "csr", "chips": n} for n in (3, 24, 48, 144, 1440, 34560)],
    ),
    Table(
        sweep="placement", page="placement.md", rule="|---|---|---:|---:|---:|---:|---:|---:|",
        columns={
            "chips, PEs": lambda row: f"{row['chips']}, {int(row['pes']):,}" if row["mapping"] == "uniform" else "",
            "mapping": _setting("mapping"), "chips used": _setting("chips_used"),
            "packets on the busiest link": _a_position_of(32, "busiest_link_packets"),
            "bytes on it": _a_position_of(32, "busiest_link_bytes"), "packets on all links": _a_position_of(32, "link_packets"),
            "ms a token": _number("token_ms", 3), "mJ a token": _number("token_mj", 3),
        },
        shown=[
            {"pes": n, "mapping": m} for n in (300, 220, 600, 450, 1200, 900) for m in ("uniform", "balanced", "clustered")
        ],
    ),
    Table(
        sweep="snn-published", page="snn.md", rule="|---|---:|---:|",
        columns={
            "": _setting_words, "ms a step": _with_band("token_ms", 1, 2), "mJ for 600 steps": _with_band("token_mj", 600, 0),
        },
        shown=[
            {"pes": 147, "clock": "150MHz", "schedule": "sequential"}, {"pes": 147, "clock": "300MHz", "schedule": "sequential"},
            {"pes": 147, "clock": "300MHz", "schedule": "pipelined"}, {"pes": 51, "clock": "300MHz", "schedule": "pipelined"},
        ],
    ),
]  # fmt: skip
PAGES = tuple(dict.fromkeys(table.page for table in TABLES))


def rewritten(page: str, text: str) -> str:
    """Return a page with its tables as they are today; ValueError where one is not on it."""
    lines = text.split("\n")
    for table in (table for table in TABLES if table.page == page):
        new = table.lines()
        at = lines.index(new[0])
        end = next(n for n in range(at, len(lines)) if not lines[n].startswith("|"))
        lines[at:end] = new
    return "\n".join(lines)


def main() -> None:
    """Write the pages again."""
    for name in PAGES:
        page = DOCS / name
        page.write_text(rewritten(name, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
