"""Strangers stay out: who else is on the machine, as another user or as the same one, changes nothing and learns nothing.

And what is malformed is refused, whoever sends it: the fuzz targets of `tests/fuzz` with few cases each, and all that they once
fell over.
"""

import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from host.errors import printable
from host.run.message_bound import bound_of
from noc.packet import Configure, Fill, Letter
from noc.unpacked_size import is_larger_unpacked
from noc.wire import MOST_UNPACKED_BYTES, WireError, decode, encode
from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS, kept_seeds
from tests.test_pe import Chip, load_of
from tests.tools.tiny import tiny_network

ROOT = Path(__file__).resolve().parents[1]
CASES = 200  # of each target; `python -m tests.fuzz` runs as many as there is time for


def refusal() -> str | None:
    """Why this machine does not let us become another user in a namespace of our own; None where it does."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return "another user: no util-linux here"
    words = ["unshare", "--net", "setpriv", "--reuid", "64998", "--clear-groups", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"another user: {done.stderr.strip() or 'refused'}" if done.returncode else None


@pytest.fixture(scope="module")
def attacks(folder):
    """What became of a run that a stranger attacks, by whose he is: names, faults, bombs, a crowd (`tests/tools/strangers.py`)."""
    if why := refusal():
        pytest.skip(why)
    command = ["unshare", "--net", sys.executable, "-m", "tests.tools.strangers", folder / "tiny.safetensors", folder / "text.txt"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.wide
@pytest.mark.timeout(180)
@pytest.mark.parametrize("whose", ["another", "same"])
def test_a_stranger_changes_nothing_and_is_given_nothing(attacks, whose):
    """He takes names before their owners come, says faults with escapes, sends bombs, and comes as a crowd."""
    run = attacks[whose]
    assert (run["code"], run["problem"]) == (0, None)
    assert run["sha256"] == attacks["quiet"]
    assert run["handed"] == 0
    assert run["connected"] >= 300
    assert run["router_mb"] < 200  # a bomb alone would take 1.8 GB


@pytest.mark.wide
def test_another_user_is_not_even_greeted(attacks):
    assert attacks["another"]["greeted"] == 0
    assert "router@0 from stranger" not in attacks["another"]["malformed"]


@pytest.mark.wide
def test_what_the_same_user_says_without_the_secret_is_counted(attacks):
    assert attacks["same"]["greeted"] > 0
    assert attacks["same"]["malformed"]["router@0 from stranger"] > 5000


# --- what is too large ---


@pytest.mark.wide
def test_what_would_be_large_unpacked_is_refused_before_it_is_unpacked():
    bombs = [b"\x92\x0b\xdd" + (1 << 20).to_bytes(4, "big") + head * (1 << 20) for head in (b"\x90", b"\x80", b"\xa0")]
    bombs.append(b"\x92\x0b" + b"\xdd\x7f\xff\xff\xff" * 20_000)  # arrays that say more than there is
    for bomb in bombs:
        tracemalloc.start()
        with pytest.raises(WireError, match="would unpack to more than"):
            decode(bomb)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 16


@pytest.mark.few(12)
@pytest.mark.parametrize("head", range(256))
def test_every_head_of_msgpack_is_reckoned_with(head):
    """What is passed over is no other than what msgpack reads: behind it stands a bomb, which is found."""
    sized = {**{0xC4 + n: 1 << n for n in range(3)}, **{0xC7 + n: 1 << n for n in range(3)}, **{0xD9 + n: 1 << n for n in range(3)}}
    body = bytes([head])
    if head in sized:
        body += (3).to_bytes(sized[head], "big") + bytes(3 + (0xC7 <= head <= 0xC9))
    elif 0xA0 <= head < 0xC0:
        body += bytes(head & 31)
    elif 0xD4 <= head <= 0xD8:
        body += bytes(1 + (1 << (head - 0xD4)))
    elif 0xCA <= head <= 0xD3:
        body += bytes({0xCA: 4, 0xCB: 8}.get(head, 1 << (head & 3)))
    elif 0xDC <= head <= 0xDF:
        body += bytes(2 << (head & 1))
    bomb = body + b"\xdd\x00\x40\x00\x00"
    assert is_larger_unpacked(bomb, MOST_UNPACKED_BYTES)
    assert not is_larger_unpacked(body, 1 << 13)


def test_no_message_of_a_run_is_near_its_bound():
    chip = Chip(tiny_network(), pes=12)
    most = bound_of(chip.placement, set())
    assert most < 16 << 20
    commands = list(chip.placement.configure(4).values())
    loads = [load_of(chip.placement, placed) for placed in chip.placement.pes]
    for message in (*commands, *loads, Fill(0, bytes(1 << 20))):
        assert isinstance(message, Configure | Fill) or message.shards
        assert 4 * len(encode(Letter("PE(1,1,0)@0", encode(message)))) <= most


# --- what is shown ---


def test_text_of_others_is_one_line_that_a_terminal_does_not_obey():
    assert printable("PE(1,1,0)@0: \x1b[2J\nnext\r\ud800\u202ex") == r"PE(1,1,0)@0: \x1b[2J\nnext\r\ud800\u202ex"
    assert printable("häßlich: ok") == "häßlich: ok"
    assert len(printable("x" * 1_000_000)) < 3000


# --- what is malformed ---


@pytest.mark.few(1)
@pytest.mark.filterwarnings("ignore")  # numpy's and pickletools' of odd content
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_malformed_does_harm(name):
    cases = CASES // 8 if TARGETS[name]().slow else CASES
    done, violations, _ = fuzz(name, cases, seed=5, seconds=1e9)
    assert (done, violations) == (cases, {})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "number"), [(name, n) for name in sorted(TARGETS) for n in range(len(kept_seeds(name)))])
def test_what_once_did_harm_does_none_now(name, number):
    TARGETS[name]().run(kept_seeds(name)[number])
