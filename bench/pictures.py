"""`python -m bench.pictures [NAME ...]`: draws the pictures of README.md and docs/ again, from the shipped trained models.

| name | pictures | from |
|---|---|---|
| `monitor` | monitor.png, monitor-dvs.png, monitor-chips.png | the live view of runs, some seconds after their begin |
| `dnn` | monitor-dnn.png, dnn-roofline.png, dnn-timeline.png | the live view and the page of DNNs |
| `report` | report.png | the page of a run, as a browser shows it |
| `paper` | figure2.png, figure2.svg | `launch.py paper` |
| `scaling` | scaling-*.png, scaling-*.csv, tables of scaling.md and placement.md | the files of experiments/ |

Without a name: all. Pictures of a terminal and of a page need Chromium. `--to FOLDER` writes elsewhere than docs/. Training's own
plots (training.png) are made from its logs: `python -m models.training plot`.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from bench import scaling_tables
from host.errors import HostError
from host.launch.recorded_run import run_into
from host.options import RunOptions
from host.show.monitor import open_monitor
from host.show.terminal_style import Panel
from host.workloads.registry import workload_of, workloads
from models.palette import PAGE_DARK, PAGE_LIGHT

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((80, 24), (120, 40), (200, 60))
_ANSI = [(0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205), (229, 229, 229)]
_FRAME_PIXELS = 120  # of a window's height that a browser takes for itself, at most
_SCALING = (
    "pes",
    "formats",
    "clock-and-schedule",
    "strong",
    "weak",
    "activity",
    "communication",
    "board",
    "placement",
    "machine",
    "snn-published",
)
_WITHOUT_PLOT = ("clock-and-schedule", "placement", "snn-published")


class Frames:
    """A run's layout and the statuses that its monitor was told, to be drawn at any size."""

    def __init__(self, options: RunOptions) -> None:
        self.layout: dict[str, Any] = {}
        self.statuses: list[dict[str, Any]] = []
        self._panel: Panel | None = workload_of(options).part("panel", "PANEL")
        with tempfile.TemporaryDirectory(prefix="gennaker-pictures-") as folder:
            outcome = run_into(Path(folder), options, mapped=self.layout.update, observe=self.statuses.append)
        if outcome.problem:
            raise HostError(outcome.problem)

    def text(self, width: int, height: int, share: float = 0.6) -> str:
        """Return a frame with its codes, at a share of the run's statuses that say what the chip would take."""
        priced = [n for n, status in enumerate(self.statuses) if status.get("modelled") and status["phase"] == "running"]
        last = priced[int(share * (len(priced) - 1))] if priced else len(self.statuses) - 1
        stream = _Terminal()
        with _terminal_of(width, height):
            view = open_monitor(self.layout, True, stream, self._panel)
            for status in self.statuses[:last]:
                view._view.lines(status, width, height - 1)  # type: ignore[attr-defined] # only for what it keeps of the course
            view.update(self.statuses[last])
            view.close()
        return stream.getvalue().split("\x1b[2K")[-1].replace("\r", "")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def _terminal_of(width: int, height: int) -> Any:
    before, term = os.get_terminal_size, os.environ.get("TERM")
    os.get_terminal_size = lambda *_: os.terminal_size((width, height))  # type: ignore[assignment]
    os.environ["TERM"] = "xterm-256color"
    try:
        yield
    finally:
        os.get_terminal_size = before
        os.environ.pop("TERM") if term is None else os.environ.update(TERM=term)


def terminal_picture(text: str, width: int, path: Path, dark: bool = True) -> None:
    """Write what stands on a terminal as PNG."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="256", legacy_windows=False)
    for line in text.rstrip("\n").split("\n"):
        console.print(Text.from_ansi(line), overflow="crop", no_wrap=True)
    colours = PAGE_DARK if dark else PAGE_LIGHT
    ground, ink = (_rgb(colours[name]) for name in ("ground", "ink"))
    svg = console.export_svg(title="", theme=TerminalTheme(ground, ink, _ANSI, _ANSI), font_aspect_ratio=0.602)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box is not None
    across, down = (round(float(side)) for side in box.groups())
    browser_picture(f'<body style="margin: 0">{svg}</body>', ".html", (across, down), path)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def browser_picture(content: str, suffix: str, size: tuple[int, int], path: Path, dark: bool = False) -> None:
    """Write how Chromium shows `content` (a page, or SVG) in a window of this size, as PNG; HostError where there is none."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise HostError("pictures of terminals and pages need Chromium: apt install chromium")
    with tempfile.TemporaryDirectory(prefix="gennaker-pictures-") as folder:
        page = Path(folder) / f"page{suffix}"
        page.write_text(content, "utf-8")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        flags += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] * dark
        window = f"--window-size={size[0]},{size[1] + _FRAME_PIXELS}"
        command = [browser, *flags, f"--user-data-dir={folder}/profile", window]
        subprocess.run([*command, f"--screenshot={path.resolve()}", page.as_uri()], check=True, capture_output=True, timeout=300)
    with Image.open(path) as picture:
        whole = picture.crop((0, 0, *size))
    whole.save(path)


def options_of(name: str, **settings: Any) -> RunOptions:
    """Return options of a workload."""
    return workloads()[name].options(**settings)


def draw_monitors(to: Path) -> None:
    """Draw the live view of four runs: text that is continued, gestures, spikes, and a text on eight chips."""
    prompt = "the following example shows how to use the"
    spiking = {"samples": 4, "pes": 51, "mapping": "balanced", "membrane": "li5:2", "raster": "lif4"}
    runs = {
        "monitor": (options_of("lm", prompt=prompt, generate=300), 0.6),
        "monitor-dvs": (options_of("dvs", samples=4, batch=1), 0.6),
        "monitor-snn": (options_of("snn", **spiking), 0.69),  # near the end of a sample
        "monitor-chips": (options_of("lm", tokens=60, chips=8, transport="mem"), 0.6),
    }
    for name, (options, share) in runs.items():
        terminal_picture(Frames(options).text(*SIZES[1], share), SIZES[1][0], to / f"{name}.png")
        print(to / f"{name}.png", flush=True)


_PIXELS_A_POINT = 4 / 3  # of a browser


def draw_dnn(to: Path) -> None:
    """Draw the live view of a DNN, and the roofline and the timeline of its page."""
    frames = Frames(options_of("dnn", checkpoint="digits-vit", batch=16, pes=41, transport="mem"))
    for width, height, name in ((160, 44, "monitor-dnn"), (80, 24, "monitor-dnn-narrow")):
        terminal_picture(frames.text(width, height), width, to / f"{name}.png")
        print(to / f"{name}.png", flush=True)
    with tempfile.TemporaryDirectory(prefix="gennaker-pictures-") as folder:
        out = Path(folder) / "dnn"
        _launch("dnn", "--pes", "17", "--out", str(out), "--transport", "mem", "--no-monitor")
        for figure in ("roofline", "timeline"):
            svg = (out / "figures" / f"{figure}.svg").read_text("utf-8")
            sides = dict(re.findall(r'\s(width|height)="([\d.]+)pt"', svg[: svg.index(">", svg.index("<svg"))]))
            wide, high = (round(2 * _PIXELS_A_POINT * float(sides[side])) for side in ("width", "height"))
            page = f'<body style="margin: 0; zoom: 2; background: white">{svg}</body>'
            browser_picture(page, ".html", (wide, high), to / f"dnn-{figure}.png")
            print(to / f"dnn-{figure}.png", flush=True)


def draw_report(to: Path) -> None:
    """Draw the page of a run on the shipped text."""
    with tempfile.TemporaryDirectory(prefix="gennaker-pictures-") as folder:
        out = Path(folder) / "lm"
        _launch("lm", "--tokens", "140", "--out", str(out), "--no-monitor")
        browser_picture((out / "report.html").read_text("utf-8"), ".html", (1400, 1900), to / "report.png")
    print(to / "report.png", flush=True)


def draw_paper(to: Path) -> None:
    """Draw Figure 2 of the paper."""
    with tempfile.TemporaryDirectory(prefix="gennaker-pictures-") as folder:
        _launch("paper", "lm", "--transport", "mem", "--out", f"{folder}/paper")
        for name in ("figure2.png", "figure2.svg"):
            shutil.copy(f"{folder}/paper/{name}", to / name)
            print(to / name, flush=True)


def draw_scaling(to: Path) -> None:
    """Draw the first plot of each experiment that docs/scaling.md shows, and write its tables again."""
    for name in _SCALING:
        with tempfile.TemporaryDirectory(prefix="gennaker-pictures-") as folder:
            _launch("scale", f"experiments/{name}.toml", "--out", f"{folder}/out")
            if name not in _WITHOUT_PLOT:
                shutil.copy(f"{folder}/out/plot-1.png", to / f"scaling-{name}.png")
            scaling_tables.keep(Path(folder) / "out" / "table.csv", name, to)
        print(to / f"scaling-{name}.csv", flush=True)
    if to == scaling_tables.DOCS:
        scaling_tables.main()


def _launch(*arguments: str) -> None:
    subprocess.run([sys.executable, "launch.py", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


KINDS: dict[str, Callable[[Path], None]] = {
    "monitor": draw_monitors, "dnn": draw_dnn, "report": draw_report, "paper": draw_paper, "scaling": draw_scaling,
}  # fmt: skip


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KINDS)}; all where none is named")
    parser.add_argument("--to", type=Path, default=ROOT / "docs", metavar="FOLDER")
    flags = parser.parse_args()
    unknown = [name for name in flags.names if name not in KINDS]
    if unknown:
        parser.error(f"{unknown[0]}: have {', '.join(KINDS)}")
    for name in flags.names or KINDS:
        KINDS[name](flags.to)


if __name__ == "__main__":
    main()
