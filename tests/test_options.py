"""What a user may ask for: whatever cannot be is refused in one line before any process starts."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import Exit, HostError
from host.faults import Faults, parse_fault
from host.run_folder import new_folder
from host.workloads.lm.options import Options as LmOptions
from host.workloads.registry import restore_options
from models.network import ModelError


def refused(call, *words):
    """The call is refused in one line that holds all the words."""
    with pytest.raises((HostError, ModelError)) as caught:
        call()
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    for word in words:
        assert word in text
    assert getattr(caught.value, "code", Exit.USAGE) is Exit.USAGE


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"pes": 1, "tokens": 1, "batch": 3},
        {"transport": "mem", "format": "dense", "mapping": "balanced"},
        {"text": "book.txt", "tokens": 5},
        {"wikitext": "folder"},
        {"prompt": "the list", "generate": 5, "temperature": 0.0, "top_k": 3, "seed": 0},
        {"prompt": "", "generate": 1},
    ],
    ids=str,
)
def test_what_can_be_is_accepted(good):
    LmOptions(**good).check()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"chips": 0}, ["--chips 0"]),
        ({"pes": 0}, ["--pes 0", "at least 1"]),
        ({"pes": -3}, ["--pes -3"]),
        ({"tokens": 0}, ["--tokens 0", "at least 1"]),
        ({"batch": 0}, ["--batch 0", "at least 1"]),
        ({"generate": -1, "prompt": "a"}, ["--generate -1", "at least 0"]),
        ({"top_k": -1}, ["--top-k -1", "at least 0"]),
        ({"seed": -1}, ["--seed -1", "at least 0"]),
        ({"temperature": -0.1}, ["--temperature -0.1"]),
        ({"temperature": float("nan")}, ["--temperature nan"]),
        ({"temperature": float("inf")}, ["--temperature inf"]),
        ({"stall_s": 0.0}, ["--stall 0.0", "above 0"]),
        ({"stall_s": -1.0}, ["--stall -1.0"]),
        ({"stall_s": float("inf")}, ["--stall inf", "finite"]),
        ({"stall_s": float("nan")}, ["--stall nan", "finite"]),
        ({"transport": "tcp"}, ["'tcp'", "zmq", "mem"]),
        ({"transport": "a\nb"}, ["transport"]),
        ({"mapping": "balance"}, ["'balance'", "did you mean 'balanced'"]),
        ({"format": "crs"}, ["'crs'", "did you mean 'csr'"]),
        ({"text": "a", "wikitext": "b"}, ["--text", "--wikitext", "choose one"]),
        ({"text": "a", "prompt": "b"}, ["--text", "--prompt", "choose one"]),
        ({"text": "a", "wikitext": "b", "prompt": "c"}, ["--text", "--wikitext", "--prompt", "choose one"]),
        ({"generate": 3}, ["--generate needs --prompt"]),
        ({"prompt": "a", "generate": 1, "tokens": 3}, ["--tokens", "prompt"]),
        ({"prompt": "a", "generate": 1, "batch": 2}, ["--batch 2", "--batch 1"]),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name(bad, words):
    refused(LmOptions(**bad).check, *words)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "pes": st.integers(-2, 200),
            "tokens": st.integers(-2, 3),
            "batch": st.integers(-2, 3),
            "chips": st.integers(-2, 3),
            "generate": st.integers(-2, 3),
            "top_k": st.integers(-2, 3),
            "seed": st.integers(-2, 3),
            "temperature": st.floats(),
            "stall_s": st.floats(),
            "mapping": st.text(),
            "format": st.text(),
            "transport": st.text(),
            "prompt": st.text(),
            "text": st.text(),
            "wikitext": st.text(),
        },
    )
)
def test_any_options_are_accepted_or_refused_in_one_line(options):
    try:
        LmOptions(**options).check()
    except (HostError, ModelError) as error:
        assert len(str(error).splitlines()) == 1


def test_options_do_not_change_once_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LmOptions().batch = 2


def test_the_record_names_every_flag():
    resolved = LmOptions(faults=Faults({"PE(1,1,0)@0": 0.5}, ((3, 2),), 7)).resolved()
    assert set(resolved) == {field.name for field in dataclasses.fields(LmOptions)} | {"workload"}
    assert resolved["faults"] == {"slow": {"PE(1,1,0)@0": 0.5}, "late": ((3, 2),), "shuffle": 7, "links": None}


def test_the_record_is_the_options_again_in_another_process():
    options = LmOptions(checkpoint="a.safetensors", batch=3, faults=Faults({"PE(1,1,0)@0": 0.5}, ((3, 2),), 7))
    record = json.loads(json.dumps(options.resolved()))
    assert restore_options(record) == options
    assert record["workload"] == "lm"


# --- faults -----------------------------------------------------------------------------------------------------------


def test_faults_are_read():
    faults = parse_fault(["slow=PE(1,1,0)@0:0.25", "late=3:2", "late=10:1", "shuffle=7", "slow=PE(2,1,0)@0:0"])
    assert faults == Faults({"PE(1,1,0)@0": 0.25, "PE(2,1,0)@0": 0.0}, ((3, 2), (10, 1)), 7)
    assert parse_fault([]) == Faults({})


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=3), st.integers(0, 50))
def test_late_lasts_that_many_ticks(late, tick):
    expected = any(tick in range(first, first + ticks) for first, ticks in late)
    assert parse_fault([f"late={first}:{ticks}" for first, ticks in late]).is_late(tick) is expected


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "fast=1",
        "slow",
        "slow=",
        "slow=PE(1,1,0)@0",
        "slow=PE(1,1,0)@0:",
        "slow=PE(1,1,0)@0:quick",
        "late",
        "late=3",
        "late=3:",
        "late=a:b",
        "late=1:2:3",
        "late=1.5:2",
        "shuffle=",
        "shuffle=x",
        "shuffle=1.5",
        "shuffle=" + "9" * 5000,
        "=1:2",
    ],
)
def test_a_fault_that_cannot_be_is_refused(bad):
    refused(lambda: parse_fault(["late=1:1", bad]), "--fault")


@pytest.mark.parametrize("seconds", ["-1", "60", "nan", "inf", "1e400"])
def test_a_slow_pe_takes_up_to_a_minute(seconds):
    refused(lambda: parse_fault([f"slow=PE(1,1,0)@0:{seconds}"]), "--fault slow", "0 to 60")


PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)


@given(st.lists(st.builds("{}={}".format, st.sampled_from(["slow", "late", "shuffle", "", "x"]), PRINTABLE), max_size=3))
def test_any_faults_are_read_or_refused_in_one_line(texts):
    try:
        parse_fault(texts)
    except HostError as error:
        assert len(str(error).splitlines()) == 1


def test_a_fault_with_a_line_break_is_refused_in_one_line():
    refused(lambda: parse_fault(["late=\n"]), "--fault")


@pytest.mark.parametrize(
    "bad",
    [
        "late=-3:2",
        "late=3:-2",
        "slow=:1",
    ],
)
def test_a_fault_that_would_do_nothing_is_refused(bad):
    refused(lambda: parse_fault([bad]), "--fault")


# --- the run's folder -------------------------------------------------------------------------------------------------


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    assert new_folder(tmp_path / "a" / "b").is_dir()


def test_a_folder_that_exists_is_never_written_over(tmp_path):
    refused(lambda: new_folder(tmp_path), "--out", "exists already")
    (tmp_path / "file").touch()
    refused(lambda: new_folder(tmp_path / "file"), "--out", "exists already")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    refused(lambda: new_folder(tmp_path / "file" / "below"), "--out", "cannot be created")
