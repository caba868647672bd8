"""The page of a run: it says what the report says, needs nothing else, lets nothing of a run become markup, and reads well
in a real browser on a phone and on a desk.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from ledgers import invented, placed
from matplotlib.image import imread

from host import plots
from host.cli import main
from host.cost_table import load_table
from host.costs import price
from host.page import Content, Figure, html
from host.pictures import _figures, make_pictures
from host.plots import COLOURS
from models.seeded import seeded_egru
from noc.chip import QPES, PeId, load_chip
from noc.mesh import Link

HOSTILE = "<script>alert(1)</script>\"'&amp;</title></style>$x$"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.timeout(120)


class Reader(HTMLParser):
    """Collects tags, attributes and text; fails where tags do not match."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], set(), [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run_folder(folder, tmp_path_factory):
    """A run of the tiny model with its pictures, in a folder with a name that no page should trust."""
    out = tmp_path_factory.mktemp("runs") / "a<b>&run"
    prompt = f"w1 w2 {HOSTILE}"
    model = str(folder / "tiny.safetensors")
    arguments = ["--prompt", prompt, "--generate", "30", "--pes", "9", "--transport", "mem", "--out", str(out), "--no-monitor"]
    assert main(["lm", "--checkpoint", model, *arguments]) == 0
    return out


def page_of(**report):
    return html(Content("run", report, {}, []))


def test_the_page_says_what_the_report_says(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    text = Reader((run_folder / "report.html").read_text()).text
    cost, metrics = report["modelled"], report["neurobench"]
    for needle in (
        f"{1e3 * cost['time_per_token_s']:.3g} ms",
        f"{1e3 * cost['power_w']:.3g} mW",
        f"{1e3 * cost['power_band_w'][0]:.3g} to {1e3 * cost['power_band_w'][1]:.3g} mW",
        f"{1e3 * cost['energy_per_token_j']:.3g} mJ",
        report["events"]["sha256"],
        f"{metrics['Footprint']:,}",
        f"{cost['work']['macs']:,}",
    ):
        assert needle in text
    for name in ("egru_input", "egru_internal", "pointwise", "broadcast", "wait", "floor", "sleep", "compute"):
        assert name in text
    for title in (
        "Activity",
        "SRAM",
        "Busy time",
        "Link load",
        "Event raster",
        "Energy a token",
        "Power over time",
        "Not modelled",
    ):
        assert title in text


def test_every_constant_is_there_with_its_source_and_assumed_ones_are_marked(run_folder):
    page = (run_folder / "report.html").read_text()
    text, chip, table = Reader(page).text, load_chip(), load_table()
    for name, one in (*table.constants.items(), *chip.facts.items()):
        assert " ".join(one.source.split()) in text, name
        row = re.search(rf"<tr([^>]*)><td>{name}</td>", page)
        assert row, name
        assert ('class="assumed"' in row[1]) == one.assumed, name


def test_the_page_needs_nothing_else(run_folder):
    page = (run_folder / "report.html").read_text()
    reader = Reader(page)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "img", "audio", "video", "base", "form"}
    for name, value in reader.attributes:
        assert not name.startswith("on"), name
        if name in ("href", "src", "xlink:href"):
            assert value.startswith(("#", "data:image/png;base64,")), value[:60]
    assert not re.search(r"url\((?!#)|@import", page)
    assert len(page) < 1_500_000


def test_names_within_the_page_are_unique_and_all_references_resolve(run_folder):
    page = (run_folder / "report.html").read_text()
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page)) <= {
        *((name, "") for name in names),
        *(("", name) for name in names),
    }


def test_what_a_run_brings_never_becomes_markup(run_folder):
    page = (run_folder / "report.html").read_text()
    assert "<script" not in page
    assert HOSTILE in json.loads((run_folder / "config.json").read_text())["prompt"]
    assert HOSTILE in Reader(page).text
    assert "a<b>&run" in Reader(page).text


def test_hostile_names_of_layers_reach_no_markup():
    placement = placed(seeded_egru(20, (24, 24, 20), density=0.3, seed=7), 9)
    ledger = replace(invented(placement, 10), layers=(HOSTILE, "$\\frac{1$", "$"))
    chip, table = load_chip(), load_table()
    figures = _figures(ledger, price(ledger, chip, table), chip, table, placement.table())
    everything = {"chip": [one for section in figures.values() for one in section]}
    report = {"lm": {"source": HOSTILE, "text": HOSTILE, "note": HOSTILE}, "partial": True, "problem": HOSTILE}
    page = html(Content(HOSTILE, report, {HOSTILE: HOSTILE}, [], everything))
    assert "<script" not in page
    assert Reader(page).text.count(HOSTILE) >= 6
    assert page.count("<svg") == 9


@pytest.mark.parametrize("report", [{}, {"schema": 1, "partial": True, "problem": "PE(1,1,0)@0 died"}])
def test_a_run_that_failed_has_a_page_too(tmp_path, report):
    for name, content in (("report", report), ("config", {"pes": 3}), ("mapping", [])):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    make_pictures(tmp_path, 10)
    text = Reader((tmp_path / "report.html").read_text()).text
    assert report.get("problem", "") in text
    assert not (tmp_path / "trace.json.gz").exists()


def test_the_same_run_gives_the_same_page(run_folder):
    page = (run_folder / "report.html").read_bytes()
    make_pictures(run_folder, 5)
    assert (run_folder / "report.html").read_bytes() == page


# -- plots --


def test_a_chip_map_has_a_square_for_every_pe_and_nothing_in_the_holes():
    values = {PeId(0, x, y, p): x + y for x, y in QPES for p in range(4)}
    del values[PeId(0, 7, 6, 3)]
    holes, hollow, squares = plots.chip_map(values, "unit").axes[0].collections
    assert [len(one.get_paths()) for one in (holes, hollow, squares)] == [4, 1, 151]
    centres = [path.vertices[:4].mean(axis=0) for path in squares.get_paths()]
    assert len({(round(x, 3), round(y, 3)) for x, y in centres}) == 151
    for (x, y), value in zip(centres, squares.get_array(), strict=True):
        assert round(x) + round(y) == value


def test_links_are_drawn_between_their_ends_each_direction_on_its_side():
    loads = {Link(1, 1, 2, 1): 5.0, Link(2, 1, 1, 1): 3.0, Link(2, 1, 2, 2): 1.0}
    lines = plots.link_map(loads, "flits").axes[0].collections[2]
    assert lines.get_array().tolist() == [1, 3, 5]
    (_, back, forth) = [np.array(segment) for segment in lines.get_segments()]
    assert forth[0][0] < forth[1][0]
    assert back[0][0] > back[1][0]
    assert forth[0][1] != back[0][1]


def test_columns_are_joined_by_their_mean():
    values = np.arange(14.0).reshape(2, 7)
    assert plots.joined(values, 3).tolist() == [[1, 4, 6], [8, 11, 13]]
    assert plots.joined(values, 7).tolist() == values.tolist()
    assert plots.joined(np.zeros((3, 0)), 5).shape == (3, 0)


# -- a real browser --

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium")
# Written into a copy of the page: what sticks out to the right of the window and may not be scrolled by itself. The copy
# stands in a frame, because a browser without a screen makes no window narrower than 500 pixels when it prints a page.
MEASURE = """<script>
addEventListener("load", () => {
  const out = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll") && !e.closest("svg")
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className);
  const small = [...document.querySelectorAll("svg text")].filter(
    e => Math.max(e.getBoundingClientRect().height, e.getBoundingClientRect().width) < 8).length;
  parent.document.title = JSON.stringify({wide: document.documentElement.scrollWidth, window: innerWidth, out: out, small: small,
    figures: document.querySelectorAll("figure svg").length});
});
</script></body>"""


def chromium(*arguments, profile):
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    done = subprocess.run(
        [*command, f"--user-data-dir={profile}", *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@needs_chromium
@pytest.mark.timeout(250)  # two starts of a browser, on a machine that may be busy
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_in_a_browser(run_folder, tmp_path, width):
    """Nothing sticks out, labels keep a readable size, and the picture shows text and figures in their colours."""
    page = (run_folder / "report.html").read_text()
    copy = escape(page.replace("</body>", MEASURE))
    frame = f'<iframe style="width:{width}px;height:3000px;border:0" srcdoc="{copy}"></iframe>'
    (tmp_path / "measured.html").write_text(f"<!DOCTYPE html><title></title>{frame}")
    window = f"--window-size={width},3600"
    dom = chromium(window, "--dump-dom", (tmp_path / "measured.html").as_uri(), profile=tmp_path / "profile")
    found = json.loads(unescape(re.search(r"<title>(.*?)</title>", dom)[1]))
    assert found == {"wide": width, "window": width, "out": [], "small": 0, "figures": 9}
    (tmp_path / "report.html").write_text(page)
    picture = tmp_path / "page.png"
    chromium(window, f"--screenshot={picture}", (tmp_path / "report.html").as_uri(), profile=tmp_path / "profile")
    pixels = (imread(picture)[:, :, :3] * 255).round().astype(int)
    assert pixels.shape == (3600, width, 3)
    ground = pixels[0, 0]
    different = (pixels != ground).any(axis=2)
    assert 0.05 < different.mean() < 0.8
    # Every band of a tenth of the page shows something.
    assert all(band.any() for band in np.array_split(different, 10))
    for colour in COLOURS[:3]:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - wanted).max(axis=2) <= 2).sum() > 100, colour


def test_a_figure_is_escaped_but_for_its_drawing():
    page = page_of() + html(Content("x", {}, {}, [], {"chip": [Figure("<b>", "<i>", "<svg></svg>")]}))
    assert "&lt;b&gt;" in page
    assert "<svg></svg>" in page
