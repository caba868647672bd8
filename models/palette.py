"""Every colour of every picture: the run's page, plots, sweeps, training logs, and the terminal.

No other file of the project names a colour. It lies here because the trainer's plots, which know no host, draw with it too.
Importing it costs nothing.
"""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a3a8b0", "#e69f00", "#56b4e9")
"""What stands side by side: lines, bars, parts of a bar. Told apart by the colour-blind too (after Okabe and Ito)."""
MAP = "viridis"
"""What is more or less: maps, rasters, loads; the colour map's name in matplotlib. `HEAT` is the same in a terminal."""
INK = "#010203"
"""Text and lines of a plot. Near black; in a page it becomes the page's own text colour, light or dark."""
FAINT = "#8a8f98"
GROUND = "#ffffff"
"""Behind a figure that stands alone, and text on dark fields."""

PAGE_LIGHT = {
    "ground": "#ffffff", "card": "#f4f6f8", "ink": "#1b1f24", "faint": "#5c6570", "line": "#d5dae0",
    "accent": "#0b62a8", "warn": "#9a4b00",
}  # fmt: skip
PAGE_DARK = {
    "ground": "#14171b", "card": "#1e2329", "ink": "#e6e9ed", "faint": "#a0a9b4", "line": "#353c45",
    "accent": "#6cb6f5", "warn": "#f2a65a",
}  # fmt: skip
"""The page's colours by the names of its style variables: `SERIES` blue and orange, as dark or light as text needs them."""

HEAT = ((244, 231), (98, 231), (38, 16), (34, 16), (112, 16), (214, 16))
"""`MAP` in six steps, for a terminal: the colour of each step and of text on it, by their numbers among the terminal's 256. Grey
stands for none; the others are as viridis goes, from violet to yellow, seen on dark and on light, distinct in 16 colours too, none
near red, which means that something is wrong."""
BRIGHTNESS = (234, 17, 19, 26, 32, 39, 81, 159, 231)
"""Dark to light, in a terminal; far apart among 16 colours too, and none red."""
TERMINAL_SERIES = (32, 172, 35, 175, 247, 214, 74)
"""`SERIES` in a terminal."""
LOOKS = {
    "plain": "", "bold": "bold", "dim": "color(244)", "note": "color(172)", "phase": "bold reverse", "accent": "color(38)",
    "busy": "bold color(172)", "alarm": "bold red", "fault": "bold color(231) on red",
    "hit": "bold color(34)", "miss": "color(214)",
    **{f"part{place}": f"color({hue})" for place, hue in enumerate(TERMINAL_SERIES)},
}  # fmt: skip
"""A terminal's looks by name: attributes, then a colour. "hit" and "miss" tell right from wrong where nothing is broken; "part0",
"part1" ... stand side by side."""
