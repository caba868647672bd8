"""The page of a run: it says what the report says, needs nothing else, lets nothing of a run become markup, and reads well
in a real browser on a phone and on a desk.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.image import imread

from gennaker.figures import Figures
from host.cli import main
from host.cost import twins
from host.cost.cost_table import load_table
from host.cost.price import price_positions as price
from host.cost.priced import price_block
from host.mapping.placement import place
from host.run_folder import SCHEMA, read_report
from host.show import chip_plots, plots
from host.show import sections as families
from host.show.blocks import Figure, figure_row, flatten
from host.show.content import Content, PricedRun
from host.show.page import html
from host.show.pictures import WorkloadPage, make_pictures
from host.show.quantities import format_ends, format_quantity
from host.show.run_words import links_sentence
from host.show.sections import chip as chip_section
from host.show.sections import links as links_section
from host.show.sections import neurobench
from host.show.sections import time as time_section
from host.workloads.dvs import page as dvs_page
from host.workloads.lm.page import sections
from models.families import member_names
from models.palette import INK, SERIES
from models.seeded import seeded_egru
from noc.chip import QPES, PeId, load_chip
from noc.machine import Machine
from noc.mesh_routes import Link
from tests.tools.grids import some
from tests.tools.ledgers import invented, placed
from tests.tools.work import count_calls

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


def content_of(run):
    return Content(name="run", report={}, config={}, run=run)


def page_of(**report):
    return html(Content(name="run", report=report, config={}, files=[]))


def test_the_page_says_what_the_report_says(run_folder):
    report = read_report(run_folder)
    text = Reader((run_folder / "report.html").read_text()).text
    cost, metrics = report["modelled"], report["neurobench"]
    for needle in (
        format_quantity(cost["time_per_token_s"], "s"),
        format_quantity(cost["power_w"], "W"),
        f"band {format_ends(cost['power_w'], cost['power_band_w'], 'W')}",
        format_quantity(cost["energy_per_token_j"], "J"),
        report["events"]["sha256"],
        f"{metrics['Footprint']:,}",
        f"{cost['work']['macs']:,}",
    ):
        assert needle in text
    for words in ("input product W x", "recurrent product R y", "units' own steps", "sending events", "waiting for DRAM"):
        assert words in text
    for title in (
        "Activity",
        "SRAM",
        "Busy time",
        "Link load",
        "Event raster",
        "Energy a token",
        "Power over the run",
        "Not modelled",
    ):
        assert title in text


def test_every_constant_is_there_with_its_source_and_assumed_ones_are_marked(run_folder):
    page = (run_folder / "report.html").read_text()
    text, chip, table = Reader(page).text, load_chip(), load_table(used=twins.in_use("csr", ["egru"]))
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
        if name in ("href", "src", "xlink:href") and not value.startswith(("#", "data:image/png;base64,")):
            assert (run_folder / value).exists(), value[:60]  # a file beside the page
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


@pytest.mark.wide
def test_hostile_names_of_layers_reach_no_markup():
    placement = placed(seeded_egru(20, (24, 24, 20), density=0.3, seed=7), 9)
    ledger = invented(placement, 10)
    names = ("input", HOSTILE, "$\\frac{1$", "$")
    populations = tuple(one._replace(name=name) for one, name in zip(ledger.populations, names, strict=True))
    ledger = replace(ledger, populations=populations)
    chip, table = load_chip(), load_table()
    run = PricedRun(ledger, price(ledger, chip, table), chip, table)
    report = {"result": {"source": HOSTILE, "text": HOSTILE, "note": HOSTILE}, "partial": True, "problem": HOSTILE}
    report["metrics"] = [{"label": HOSTILE, "value": 1.0, "unit": HOSTILE, "digits": 1, "note": HOSTILE}]
    report["modelled"] = price_block(run.priced, ledger)
    config, mapping = {HOSTILE: HOSTILE}, placement.table()
    content = Content(name=HOSTILE, report=report, config=config, mapping=mapping, sections=sections(report), run=run)
    page = html(content)
    assert "<script" not in page
    assert Reader(page).text.count(HOSTILE) >= 9
    assert page.count("<svg") == 9


PARTS = {"energy_parts_j": {}, "stages_s": {}, "work": {}, "settings": {}, "assumed": []}
RESULT = {
    "classes": ["wave", HOSTILE],
    "confusion": [[2, 1], [0, 1]],
    "samples": 4,
    "accuracy": 0.75,
    "baseline_accuracy": None,
    "baseline_note": "none on record",
    "mean_frame_accuracy": 0.5,
    "damages": [HOSTILE],
    "predictions": [{"name": HOSTILE, "subject": "user01", "label": 1, "prediction": 0, "baseline": None}],
    "source": "synthetic",
    "note": None,
}


def test_a_workload_adds_its_sections_and_its_metrics_become_cards():
    metrics = [
        {"name": "accuracy", "label": "accuracy", "value": 75.0, "unit": "%", "digits": 1, "better": "high", "note": "3 of 4"},
        {"name": "baseline", "label": "torch", "value": None, "unit": "%", "digits": 1, "better": "high"},
    ]
    report = {"workload": "dvs", "unit": "frame", "result": RESULT, "metrics": metrics}
    content = Content(name="run", report=report, config={}, sections=dvs_page.sections(report), figures=dvs_page.figures(report))
    page = html(content)
    text = Reader(page).text
    assert "<script" not in page
    assert '<div class="card">accuracy<b>75.0 %</b><small>3 of 4</small></div>' in page
    assert page.count('class="card"') == 1  # a metric without a value has none
    assert text.index("75.0 %") < text.rindex("Gestures") < text.rindex("What is modelled")
    for words in ("none on record", "Confusion", "Damaged", "All 1 samples", "user01", "by torch"):
        assert words in text
    assert text.count(HOSTILE) == 3 + 3  # what is damaged, the sample, its class; and what says who was taken for whom
    assert dvs_page.sections({}) == dvs_page.figures({}) == sections({}) == []


@pytest.mark.parametrize("report", [{"schema": SCHEMA}, {"schema": SCHEMA, "partial": True, "problem": "PE(1,1,0)@0 died"}])
def test_a_run_that_failed_has_a_page_too(tmp_path, report):
    for name, content in (("report", report), ("config", {"pes": 3}), ("mapping", [])):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    make_pictures(tmp_path, 10)
    text = Reader((tmp_path / "report.html").read_text()).text
    assert report.get("problem", "") in text
    assert not (tmp_path / "trace.json.gz").exists()


@pytest.mark.slow
def test_the_same_run_gives_the_same_page(run_folder):
    page = (run_folder / "report.html").read_bytes()
    make_pictures(run_folder, 5, WorkloadPage(sections=sections))
    assert (run_folder / "report.html").read_bytes() == page


# -- figures as files and in Python --


def test_every_figure_of_the_page_is_a_file_twice_and_a_method(run_folder):
    figures, page = Figures(run_folder), (run_folder / "report.html").read_text()
    names = list(figures)
    assert len(names) == len(set(names)) == page.count("<figure>") == 9
    assert {path.name for path in (run_folder / "figures").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("svg", "pdf")
    }
    for name in names:
        assert f'href="figures/{name}.svg"' in page
        svg = ElementTree.parse(run_folder / "figures" / f"{name}.svg").getroot()
        assert svg.tag.endswith("svg")
        assert svg.get("color") == INK  # which its text and lines take
        assert (run_folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert name in dir(figures)
    drawn = figures.raster()
    assert isinstance(drawn, MatplotlibFigure)
    assert drawn is not figures.raster()  # one's own, to change
    out = io.BytesIO()
    drawn.savefig(out, format="png")
    assert out.getvalue().startswith(b"\x89PNG")
    with pytest.raises(AttributeError, match=r"run\.figures\.rastr: this run has stages, "):
        figures.rastr  # noqa: B018


def test_figures_of_a_workload_are_among_them(run_folder, tmp_path):
    for path in run_folder.iterdir():
        if path.is_file() and path.name != "report.html":
            shutil.copy(path, tmp_path / path.name)
    report = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps(report | {"workload": "dvs", "result": RESULT}))
    assert next(iter(Figures(tmp_path))) == "confusion"


def test_parts_of_a_figure_say_what_they_are_where_a_pointer_rests(run_folder):
    titles = re.findall(r"<path[^>]*><title>(.*?)</title></path>", (run_folder / "report.html").read_text())
    for pe in json.loads((run_folder / "mapping.json").read_text()):
        assert sum(title.startswith(f"{pe['pe']}, ") for title in titles) == 3  # activity, SRAM, busy time
    assert any(re.fullmatch(r"egru1, recurrent product R.y: [\d.]+ µ?s a token, [\d.]+ % of all", title) for title in titles)
    assert any(re.fullmatch(r"\d,\d to \d,\d: [\d.e+,]+ flits", title) for title in titles)


def test_no_raw_name_of_a_counter_stands_on_the_page(run_folder):
    report = read_report(run_folder)
    text = Reader((run_folder / "report.html").read_text()).text
    of_price = report["modelled"]
    names = {name for block in (report["counters"], report["mapping"], report["neurobench"]) for name, _ in flatten(block)}
    names |= {
        *of_price["work"],
        *of_price["energy_parts_j"],
        *(name for stages in of_price["stages_s"].values() for name in stages),
    }
    raw = {part for name in names for part in (name, *name.split(".")) if re.search(r"[_.]|[a-z][A-Z]", part)}
    assert len(raw) > 20
    assert [name for name in sorted(raw) if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text)] == []


def test_numbers_have_prefixes_instead_of_powers_of_ten():
    cost = {"time_s": 2.0, "time_per_token_s": 2e-3, "time_band_s": [2.0, 2.5], "power_w": 1.64, "power_band_w": [1.15, 1.65]}
    page = page_of(
        modelled={**cost, "energy_j": 3.0, "energy_per_token_j": 3e-3, "energy_band_j": [2.0, 4.0]} | PARTS, unit="token"
    )
    for words in ("<b>1.64 W</b><small>band 1.15 to 1.65 W</small>", "<b>2.00 ms</b><small>a token; band 2.00 to 2.50 ms</small>"):
        assert words in page


def test_a_hash_stands_on_one_line_and_whole_where_it_can_be_copied(run_folder):
    page, report = (run_folder / "report.html").read_text(), json.loads((run_folder / "report.json").read_text())
    sha256 = report["events"]["sha256"]
    assert f'<b class="hash">{sha256[:12]}</b>' in page
    assert f'<code class="line">event hash {sha256}</code>' in page


def test_the_page_begins_with_a_list_of_its_sections_and_links_its_files(run_folder):
    page = (run_folder / "report.html").read_text()
    nav = re.search(r"<nav>(.*?)</nav>", page, re.S)[1]
    heads = re.findall(r'<h2 id="([^"]+)">', page)
    assert re.findall(r'href="#([^"]+)"', nav) == heads
    for path in run_folder.iterdir():
        assert f'<a href="{path.name}' in page or path.name == "figures"


# -- the family of sections --


def test_sections_are_found_by_name_and_stand_in_their_order(run_folder):
    found = families.all_sections()
    assert {one.__name__.rpartition(".")[2] for one in found} == set(member_names(families))
    assert len({one.ORDER for one in found}) == len(found)
    text = Reader((run_folder / "report.html").read_text()).text
    places = [text.find(one.TITLE) for one in found if one is not links_section]  # on one chip there are no links
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("name", member_names(families))
@pytest.mark.parametrize("report", [{"schema": SCHEMA}, {"schema": SCHEMA, "partial": True, "problem": "PE(1,1,0)@0 died"}])
def test_a_section_of_a_run_that_failed_is_empty_or_says_what_is_known(name, report):
    section = next(one for one in families.all_sections() if one.__name__.endswith(f".{name}"))
    blocks = section.build(Content(name="run", report=report, config={}))
    assert all(isinstance(block, str) and "<h2>" not in block for block in blocks)


# -- several chips --


def pages_of(chips, pes, positions=6):
    """Return the page of a run on several chips, the run, and its maps."""
    placement = place(seeded_egru(20, (80, 80, 60), density=0.3, seed=7), load_chip(), "uniform", "csr", pes, 1, chips)
    ledger, table = invented(placement, positions), load_table()
    priced = price(ledger, load_chip(), table)
    run = PricedRun(ledger, priced, load_chip(), table)
    content = Content(name="run", report={"mapping": None}, config={}, mapping=placement.table(), run=run)
    return html(content), run, chip_section.maps(run, placement.table())


@pytest.mark.wide
@pytest.mark.slow_but("8-60")
@pytest.mark.parametrize(("chips", "pes"), [(2, 8), (8, 60), (48, 150)])
def test_a_run_on_several_chips_shows_all_of_them_on_one_scale(chips, pes):
    page, _, maps = pages_of(chips, pes)
    for figure in maps[:3]:  # activity, SRAM, busy time
        shown = re.findall(r"<text[^>]*>(\d+)</text>", figure.svg)
        assert {str(chip) for chip in range(chips)} <= set(shown), figure.title
        assert figure.svg.count("<image") <= 2  # all chips, and the scale
    assert re.search(r"of chip \d+, which has the busiest of all", maps[3].caption)
    assert len(page) < 1_500_000
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_links_between_chips_are_listed_by_how_long_they_are_busy_and_cables_are_called_so():
    page, run, _ = pages_of(48, 150)
    rows, priced = links_section.link_rows(run), run.priced
    assert {row.name: row.packets for row in rows} == {
        str(link): n
        for link, n in zip(priced.link_traffic.links, priced.link_traffic.packets.sum(axis=(0, 1)).tolist(), strict=True)
    }
    assert [row.busy for row in rows] == sorted((row.busy for row in rows), reverse=True)
    assert rows[0].name == priced.links["busiest"]
    assert rows[0].busy == pytest.approx(priced.links["busiest_utilisation"])
    text = Reader(page).text
    assert links_sentence(priced.links) in text
    assert f"busiest {rows[0].name}: " in text
    assert f"All {len(rows)} links" in text
    assert any(row.cable for row in rows)
    for row in rows:
        kind = "cable" if row.cable else "board"
        assert f'<td>{row.name.replace(">", "&gt;")}</td><td>{kind}</td><td class="n">{row.packets:,}</td>' in page
    assert [figure.title for figure in links_section.figures(content_of(run))] == ["Links between chips"]


@pytest.mark.slow
def test_the_time_on_links_is_a_stage_of_the_profile():
    _, run, _ = pages_of(4, 20)
    (profile,) = time_section.figures(content_of(run))
    assert all("links" in stages for stages in run.priced.stages_s.values())
    assert ">way over links between chips</text>" in profile.svg


@pytest.mark.wide
def test_one_chip_has_no_links_and_its_own_map():
    page, run, maps = pages_of(1, 20)
    assert links_section.link_rows(run) == links_section.figures(content_of(run)) == []
    assert "Links between chips" not in Reader(page).text
    assert "The chip " in Reader(page).text
    assert "hollow: not used" in maps[0].caption


@pytest.mark.slow
def test_pages_of_many_chips_cost_little_more_than_that_of_one():
    """In calls of functions, of which a fast machine and a slow one need the same number."""
    pages_of(1, 20)
    assert count_calls(lambda: pages_of(8, 200)) < 1.5 * count_calls(lambda: pages_of(1, 100))


# -- plots --


def test_maps_of_several_chips_have_a_pixel_for_every_pe_where_the_chip_lies():
    values = {PeId(chip, x, y, p): 10.0 * x + y for chip in (0, 1) for x, y in QPES for p in range(4)}
    del values[PeId(0, 7, 6, 3)]
    drawn = chip_plots.chip_maps(values, {0: (0, 0), 1: (1, 1)}, "unit")
    pixels = drawn.axes[0].images[0].get_array()
    known = pixels[~np.isnan(np.asarray(pixels))]
    assert (known >= 0).sum() == 2 * 152 - 1
    assert (known == -1).sum() == 1
    down = pixels.shape[0] // 2
    upper, lower = np.asarray(pixels[:down]), np.asarray(pixels[down:])
    assert np.nonzero(upper > 0)[1].min() == np.nonzero(lower > 0)[1].min() + 8  # chip 1 lies above, half a chip to the right
    assert upper[upper > 0].sum() == sum(value for pe, value in values.items() if pe.chip == 1)


def test_links_between_chips_lead_from_one_to_the_other_or_off_the_torus():
    machine = Machine(48)
    positions = dict(enumerate(machine.positions))
    lines = chip_plots.mesh_links(dict.fromkeys(machine.links, 1.0), positions, "packets").axes[0].collections[0]
    lengths = [float(np.hypot(*np.subtract(*segment))) for segment in lines.get_segments()]
    cables = sum(machine.is_cable(link.chip, link.direction) for link in machine.links)
    assert sum(length == pytest.approx(0.24) for length in lengths) == cables
    assert sum(length == pytest.approx(0.48) for length in lengths) == len(machine.links) - cables


def test_a_chip_map_has_a_square_for_every_pe_and_nothing_in_the_holes():
    values = {PeId(0, x, y, p): x + y for x, y in QPES for p in range(4)}
    del values[PeId(0, 7, 6, 3)]
    holes, hollow, squares = chip_plots.chip_map(values, "unit").axes[0].collections
    assert [len(one.get_paths()) for one in (holes, hollow, squares)] == [4, 1, 151]
    centres = [path.vertices[:4].mean(axis=0) for path in squares.get_paths()]
    assert len({(round(x, 3), round(y, 3)) for x, y in centres}) == 151
    for (x, y), value in zip(centres, squares.get_array(), strict=True):
        assert round(x) + round(y) == value


def test_links_are_drawn_between_their_ends_each_direction_on_its_side():
    loads = {Link(1, 1, 2, 1): 5.0, Link(2, 1, 1, 1): 3.0, Link(2, 1, 2, 2): 1.0}
    lines = chip_plots.link_map(loads, "flits").axes[0].collections[2]
    assert lines.get_array().tolist() == [1, 3, 5]
    (_, back, forth) = [np.array(segment) for segment in lines.get_segments()]
    assert forth[0][0] < forth[1][0]
    assert back[0][0] > back[1][0]
    assert forth[0][1] != back[0][1]


def test_more_columns_than_can_be_seen_are_averaged():
    values = np.arange(14.0).reshape(2, 7)
    assert plots.downsample(values, 3).tolist() == [[1, 4, 6], [8, 11, 13]]
    assert plots.downsample(values, 7).tolist() == values.tolist()
    assert plots.downsample(np.zeros((3, 0)), 5).shape == (3, 0)


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


@pytest.mark.wide
@needs_chromium
@pytest.mark.timeout(250)  # two starts of a browser, on a machine that may be busy
@pytest.mark.parametrize("width", some((390, 1400), (390).__eq__))
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
    for colour in SERIES[:3]:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - wanted).max(axis=2) <= 2).sum() > 100, colour


def test_a_figure_is_escaped_but_for_its_drawing():
    drawn = Figure(name="name", title="<b>", caption="<i>", draw=list)
    drawn.__dict__["svg"] = "<svg></svg>"
    page = figure_row([drawn])
    assert "&lt;b&gt;" in page
    assert "&lt;i&gt;" in page
    assert "<svg></svg>" in page


@pytest.mark.parametrize("host", [None, {"Footprint": 8}])
def test_what_the_host_computes_is_said_where_it_computes_something(host):
    content = SimpleNamespace(report={"neurobench": {"Footprint": 4, "Host": host}})
    assert ("the embedding" in "".join(map(str, neurobench.build(content)))) == (host is not None)


def test_a_narrow_screen_leaves_one_column_of_the_settings_out(run_folder):
    """So that how much a setting changes is seen without moving the table."""
    page = (run_folder / "report.html").read_text()
    assert re.search(r"@media \(max-width: 520px\) \{[^@]*\.spare \{ display: none; \}", page)
    assert '<th class="spare">in place of</th>' in page
