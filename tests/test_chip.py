"""What the chip is: floor plan, PE names, numbers with their sources, and what an override file may do."""

import dataclasses
import pickle
import tomllib
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noc.chip import (
    DATA_FILE,
    HOLES,
    PES_PER_QPE,
    QPES,
    ChipError,
    ChipSpec,
    PeId,
    describe,
    load_chip,
    parse_pe,
    require_on_plan,
)

SPEC = load_chip()
PES = SPEC.usable_pes()
pes = st.sampled_from(PES)
numbers = st.integers(0, 999_999_999)


@pytest.fixture
def load(tmp_path):
    """Load the chip with an override file of this text."""

    def load_text(text, preset="spinnaker2"):
        path = tmp_path / "mychip.toml"
        path.write_text(text, encoding="utf-8")
        return load_chip(preset, path)

    return load_text


def refused(load, text, *words):
    """The text is refused in one line that names the file and holds all the words."""
    with pytest.raises(ChipError) as caught:
        load(text)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for word in ("mychip.toml", *words):
        assert word in message
    assert caught.value.__cause__ is None


# ---- floor plan and names


def test_the_chip_has_38_qpes_of_4_pes_which_makes_152():
    assert len(QPES) == len(set(QPES)) == 38 == SPEC.facts["qpes"].value
    assert len(PES) == len(set(PES)) == 152 == SPEC.facts["pes"].value
    assert SPEC.facts["pes_per_qpe"].value == PES_PER_QPE == 4


def test_the_plan_is_7_columns_by_6_rows_without_four_holes():
    assert {(4, 3), (4, 4), (7, 3), (7, 4)} == HOLES
    assert set(QPES) | HOLES == {(x, y) for x in range(1, 8) for y in range(1, 7)}
    assert not set(QPES) & HOLES
    assert Counter(y for _, y in QPES) == {1: 7, 2: 7, 3: 5, 4: 5, 5: 7, 6: 7}


def test_pes_are_listed_row_by_row_and_then_by_number_in_the_qpe():
    assert [str(pe) for pe in PES[:5]] == ["PE(1,1,0)@0", "PE(1,1,1)@0", "PE(1,1,2)@0", "PE(1,1,3)@0", "PE(2,1,0)@0"]
    assert list(PES) == sorted(PES, key=lambda pe: (pe.y, pe.x, pe.p))
    assert str(PES[-1]) == "PE(7,6,3)@0"


def test_a_pe_name_sorts_by_chip_then_x_then_y_then_p():
    assert sorted([PeId(1, 1, 1, 0), PeId(0, 2, 1, 0), PeId(0, 1, 2, 0), PeId(0, 1, 1, 3)]) == [
        PeId(0, 1, 1, 3),
        PeId(0, 1, 2, 0),
        PeId(0, 2, 1, 0),
        PeId(1, 1, 1, 0),
    ]


@given(st.builds(PeId, numbers, numbers, numbers, numbers))
def test_names_round_trip(pe):
    assert parse_pe(str(pe)) == pe


def test_the_spelling_of_py_spinnaker2_is_read_too():
    assert parse_pe("PE(1, 2, 3)@4") == PeId(chip=4, x=1, y=2, p=3)


@given(st.text())
def test_any_text_is_a_name_or_a_chip_error(text):
    try:
        pe = parse_pe(text)
    except ChipError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert str(pe) == text.replace(", ", ",")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PE(1,1,0)",
        "PE(1,1)@0",
        "PE(-1,1,0)@0",
        "PE(01,1,0)@0",
        "PE(1,1,0)@0\n",
        " PE(1,1,0)@0",
        "pe(1,1,0)@0",
        "PE(\u0661,1,0)@0",
    ],
)
def test_a_bad_name_is_shown_with_the_form_needed(text):
    with pytest.raises(ChipError, match=r"PE name .*need 'PE\(x,y,p\)@chip'"):
        parse_pe(text)


@pytest.mark.parametrize(
    "pe", [PeId(0, 4, 3, 0), PeId(0, 7, 4, 0), PeId(0, 0, 1, 0), PeId(0, 1, 7, 0), PeId(0, 1, 1, 4), PeId(-1, 1, 1, 0)]
)
def test_a_pe_off_the_plan_is_named(pe):
    with pytest.raises(ChipError) as caught:
        require_on_plan(pe)
    assert str(pe) in str(caught.value)


# ---- numbers


def test_the_published_numbers():
    assert (SPEC.sram_bytes, SPEC.banks, SPEC.bank_bytes, SPEC.facts["program_bank"].value) == (131_072, 4, 32_768, 0)
    assert SPEC.program_bytes == round(17.9 * 1024)
    assert SPEC.debug_bytes == 5 * 1024
    assert (SPEC.data_bytes, SPEC.bank_bytes - SPEC.program_bytes) == (98_304, 14_438)
    assert (SPEC.facts["flit_bits"].value, SPEC.payload_bits, SPEC.hop_cycles, SPEC.noc_clock_hz) == (192, 128, 5, 300_000_000)
    assert (SPEC.router_entries, SPEC.facts["chip_links"].value) == (16_384, 6)
    assert (SPEC.dram_bytes, SPEC.dram_alignment_bytes) == (2 * 2**30, 16)


def test_a_preset_is_a_clock_with_the_supply_and_power_states_that_belong_to_it():
    fast = load_chip("spinnaker2-300mhz")
    assert (SPEC.name, SPEC.pe_clock_hz, SPEC.pe_supply_v) == ("spinnaker2", 150_000_000, 0.5)
    assert (fast.name, fast.pe_clock_hz, fast.pe_supply_v) == ("spinnaker2-300mhz", 300_000_000, 0.8)
    assert (SPEC.pe_sleep_w, fast.pe_sleep_w) == pytest.approx((1.054e-3, 3.220e-3), rel=1e-3)
    assert (SPEC.pe_active_w, fast.pe_active_w) == pytest.approx((1.245e-3, 4.495e-3), rel=1e-3)
    assert (SPEC.facts["pe_active_pj_per_cycle"].value, fast.facts["pe_active_pj_per_cycle"].value) == pytest.approx(
        (8.30, 14.98), rel=1e-3
    )
    per_mac = [spec.facts["mla_pj_per_mac"].value for spec in (SPEC, fast)]
    assert per_mac == pytest.approx([0.517, 0.725], rel=1e-3)


def test_derived_numbers_agree_with_those_printed_in_the_reference():
    value = {name: fact.value for name, fact in SPEC.facts.items() if fact.grade == "D"}
    assert value["hop_s"] == pytest.approx(16.7e-9, rel=1e-2)
    assert value["noc_link_payload_bits_per_s"] == 38.4e9
    assert value["router_engine_s"] == pytest.approx(10e-9)
    assert value["dram_raw_bytes_per_s"] == 6.4e9
    assert value["snn_cycles_per_event"] == 25


def test_whole_chip_power_is_rebuilt_from_the_per_pe_numbers():
    for preset, watts in (("spinnaker2", 0.4246), ("spinnaker2-300mhz", 1.2479)):
        spec = load_chip(preset)
        assert spec.power_off_w + 152 * (spec.pe_sleep_w + spec.pe_active_w) == pytest.approx(watts)


def test_each_attribute_is_the_fact_of_its_name_and_has_the_type_it_declares():
    others = {"name", "facts", "down_cores", "down_chips", "down_links"}
    for field in dataclasses.fields(ChipSpec):
        if field.name not in others:
            assert getattr(SPEC, field.name) == SPEC.facts[field.name].value
            assert type(getattr(SPEC, field.name)) is field.type


@pytest.mark.parametrize("name", sorted(SPEC.facts))
def test_each_fact_has_a_unit_a_source_and_a_grade(name):
    fact = SPEC.facts[name]
    assert fact.unit
    assert fact.source
    assert fact.grade in {"P", "S", "S+", "C", "D", "NF"}


@pytest.mark.parametrize("name", sorted(SPEC.facts))
def test_what_was_not_found_is_assumed_with_a_value_and_a_reason_or_explicitly_unknown(name):
    fact = SPEC.facts[name]
    assert (fact.grade == "NF") == (name in SPEC.assumed() or name in SPEC.unknown())
    assert not (name in SPEC.assumed() and name in SPEC.unknown())
    if fact.grade == "NF":
        assert fact.note


def test_in_the_data_file_a_number_is_given_or_assumed_or_derived_or_says_that_it_is_unknown():
    for name, entry in tomllib.loads(DATA_FILE.read_text(encoding="utf-8"))["facts"].items():
        ways = ["value" in entry, entry.get("unknown", False), entry["grade"] == "D"]
        assert sum(ways) == 1, name


def test_nothing_the_emulator_reads_is_unknown():
    assert not {field.name for field in dataclasses.fields(ChipSpec)} & set(SPEC.unknown())
    assert {"router_latency_s", "link_latency_s", "noc_pj_per_hop", "dram_latency_s"} <= set(SPEC.unknown())
    assert {"dram_sustained_bytes_per_s", "sram_wait_states", "dma_setup_cycles", "noc_fifo_flits"} == set(SPEC.assumed())


def test_the_table_for_reports_has_a_row_per_fact():
    rows = {name: row for name, *row in describe(SPEC)}
    assert list(rows) == list(SPEC.facts)
    assert rows["sram_bytes"] == ["131072 byte", "P", "EGRU text (128 kB); CP via SV"]
    assert rows["dram_sustained_bytes_per_s"][:2] == ["5.95e+09 byte/s", "NF, assumed"]
    assert rows["link_latency_s"][:2] == ["unknown", "NF"]


def test_a_spec_is_a_value_that_travels_to_other_processes():
    copy = pickle.loads(pickle.dumps(SPEC))
    assert copy == SPEC
    assert hash(copy) == hash(SPEC)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.sram_bytes = 0


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ChipError, match=r"'spinaker2-300'.*'spinnaker2-300mhz'"):
        load_chip("spinaker2-300")


# ---- overrides


def test_an_empty_file_changes_nothing(load):
    assert load("") == SPEC


def test_a_number_from_a_file_is_graded_user_and_has_the_file_as_source(load):
    spec = load("[facts]\nrouter_entries = 1024\nhop_cycles = {value = 4, source = 'bench of Monday', note = 'once'}")
    assert (spec.router_entries, spec.hop_cycles) == (1024, 4)
    assert (spec.facts["router_entries"].grade, spec.facts["router_entries"].source) == ("user", "mychip.toml")
    assert spec.facts["hop_cycles"].source == "mychip.toml: bench of Monday"
    assert spec.facts["hop_cycles"].note == "once"
    assert spec.facts["hop_cycles"].unit == "cycle"
    assert spec.dram_bytes == SPEC.dram_bytes


def test_a_measured_number_is_no_longer_assumed_or_unknown(load):
    spec = load("[facts]\ndram_sustained_bytes_per_s = 5e9\nlink_latency_s = 4e-8")
    assert "dram_sustained_bytes_per_s" not in spec.assumed()
    assert "link_latency_s" not in spec.unknown()
    assert spec.facts["link_latency_s"].value == 4e-8


def test_a_whole_number_may_be_written_as_a_float_and_stays_whole(load):
    spec = load("[facts]\npe_clock_hz = 200e6")
    assert spec.pe_clock_hz == 200_000_000
    assert type(spec.pe_clock_hz) is int


def test_derived_numbers_follow_an_override(load):
    slower = load("[facts]\npe_clock_hz = 75_000_000")
    assert slower.facts["pe_active_pj_per_cycle"].value == SPEC.facts["pe_active_pj_per_cycle"].value  # the supply is the same
    assert slower.pe_active_w == pytest.approx(SPEC.pe_active_w / 2)
    assert load("[facts]\npower_sleep_low_w = 0.3").pe_sleep_w == pytest.approx((0.3 - 0.0752) / 152)
    assert load("[facts]\nhop_cycles = 10").facts["hop_s"].value == pytest.approx(2 * SPEC.facts["hop_s"].value)


def test_a_derived_number_may_be_overridden_itself(load):
    spec = load("[facts]\npe_sleep_w = 0.002")
    assert spec.pe_sleep_w == 0.002
    assert spec.facts["pe_sleep_w"].grade == "user"
    assert spec.pe_active_w == SPEC.pe_active_w


def test_down_cores_are_left_out_and_the_rest_keeps_its_order(load):
    spec = load("down_cores = ['PE(1,1,0)@0', [2, 1, 3], 'PE(5,5,1)@1']")
    assert spec.down_cores == {PeId(0, 1, 1, 0), PeId(0, 2, 1, 3), PeId(1, 5, 5, 1)}
    assert spec.usable_pes() == tuple(pe for pe in PES if pe not in spec.down_cores)
    assert [len(spec.usable_pes(chip)) for chip in range(3)] == [150, 151, 152]


def test_a_down_chip_has_no_usable_pe_and_a_down_link_has_a_direction(load):
    spec = load("down_chips = [2]\ndown_links = [[0, 5], [1, 0]]")
    assert spec.usable_pes(2) == ()
    assert len(spec.usable_pes(0)) == 152
    assert spec.down_links == {(0, 5), (1, 0)}


@pytest.mark.few(12)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sram_byte = 1", ["'sram_byte'", "facts.sram_bytes"]),
        ("down_core = []", ["'down_core'", "'down_cores'"]),
        ("[facts]\nsram_byte = 1", ["facts.sram_byte'", "'sram_bytes'"]),
        ('[facts]\n"a\\nb" = 1', [r"facts.a\nb"]),
        ("[facts]\nhop_cycles = {vale = 1}", ["facts.hop_cycles", "'vale'", "'value'"]),
        ("[facts]\nhop_cycles = {source = 'x'}", ["facts.hop_cycles", "have None"]),
        ("[facts]\nhop_cycles = {value = 1, source = 2}", ["facts.hop_cycles.source", "text"]),
        ("facts = 3", ["facts", "table"]),
        ("[facts]\nhop_cycles = '5'", ["facts.hop_cycles", "number of cycle", "'5'"]),
        ("[facts]\nhop_cycles = true", ["facts.hop_cycles", "True"]),
        ("[facts]\nhop_cycles = [5]", ["facts.hop_cycles", "[5]"]),
        ("[facts]\nhop_cycles = 2.5", ["facts.hop_cycles", "whole", "2.5"]),
        ("[facts]\nhop_cycles = -1", ["facts.hop_cycles", "-1"]),
        ("[facts]\npower_off_w = nan", ["facts.power_off_w", "finite", "nan"]),
        ("[facts]\nlink_latency_s = inf", ["facts.link_latency_s", "finite", "inf"]),
        ("[facts]\nlink_latency_s = -1e-9", ["facts.link_latency_s", "-1e-09"]),
        ("[facts]\npe_clock_hz = 0", ["facts.pe_clock_hz", "above 0"]),
        ("[facts]\ndram_alignment_bytes = 0", ["facts.dram_alignment_bytes", "above 0"]),
        ("[facts]\nbank_bytes = 16384", ["facts.sram_bytes", "bank_bytes", "4 x 16384", "131072"]),
        ("[facts]\nprogram_bytes = 32769", ["facts.program_bytes", "bank_bytes = 32768", "32769"]),
        ("[facts]\nprogram_bank = 4", ["facts.program_bank", "banks", "have 4"]),
        ("[facts]\ndebug_bytes = 98305", ["facts.debug_bytes", "98304"]),
        ("[facts]\npayload_bits = 256", ["facts.payload_bits", "flit_bits = 192"]),
        ("[facts]\ndram_sustained_bytes_per_s = 7e9", ["facts.dram_sustained_bytes_per_s", "dram_raw_bytes_per_s"]),
        ("[facts]\npower_off_w = 1.0", ["facts.pe_sleep_w", "power_off_w"]),
        ("[facts]\npes = 144", ["facts.pes", "152", "down_cores"]),
        ("down_cores = 'PE(1,1,0)@0'", ["down_cores", "list"]),
        ("down_cores = ['PE(4,3,0)@0']", ["down_cores", "PE(4,3,0)@0", "floor plan"]),
        ("down_cores = [[1, 1, 4]]", ["down_cores", "PE(1,1,4)@0", "floor plan"]),
        ("down_cores = [[1, 1]]", ["down_cores", "[1, 1]"]),
        ("down_cores = [[1, 1, -1]]", ["down_cores", "[1, 1, -1]"]),
        ("down_cores = ['PE 1 1 0']", ["down_cores", "'PE 1 1 0'"]),
        ("down_cores = [7]", ["down_cores", "7"]),
        ("down_chips = ['0']", ["down_chips", "'0'"]),
        ("down_chips = [-1]", ["down_chips", "-1"]),
        ("down_links = [[0, 6]]", ["down_links", "6"]),
        ("down_links = [0]", ["down_links", "direction"]),
        ("hop_cycles: 5", ["TOML", "line 1"]),
        ("x = " + "[" * 5000, ["TOML"]),
        ("[facts]\nhop_cycles = 0x" + "f" * 5000, ["mychip.toml"]),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_a_bad_file_is_refused_in_one_line_that_names_file_and_key(load, text, words):
    refused(load, text, *words)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.toml", tmp_path, binary):
        with pytest.raises(ChipError) as caught:
            load_chip(override=path)
        assert path.name in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


ANY_NUMBER = st.one_of(st.integers(-2, 10**40), st.floats(), st.sampled_from([0, 1, 0.0, 1e-300, 1e29]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(SPEC.facts)), ANY_NUMBER, max_size=4))
def test_any_numbers_give_a_consistent_chip_or_one_line(load, numbers):
    text = "[facts]\n" + "\n".join(f"{name} = {number}" for name, number in numbers.items())
    try:
        spec = load(text)
    except ChipError as error:
        assert len(str(error).splitlines()) == 1
        assert "mychip.toml" in str(error)
    else:
        assert spec.banks * spec.bank_bytes == spec.sram_bytes
        assert all(0 <= fact.value < float("inf") for fact in spec.facts.values() if fact.value is not None)
        assert {name for name, fact in spec.facts.items() if fact.grade == "user"} >= set(numbers)
