"""Generated text is written word by word, wrapped, whole, and never taken back."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.workloads.lm.text_stream import TextStream
from models.text.tokeniser import detokenise

LAYOUT = {"title": "a model on a prompt", "chip": "spinnaker2", "note": ""}
SAMPLE = ["the", "ship", "sail", "'", '"', "(", ")", ".", ",", "-", "`", "'s", "@-@", "N", "<eos>", "<unk>"]
WORDS = st.lists(st.sampled_from(SAMPLE))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def told(words, stream, columns=None, monkeypatch=None):
    """Stream the prefixes of `words` and return what was written after the title."""
    view = TextStream(LAYOUT, stream)
    for count in range(len(words) + 1):
        view.update({"shown": {"text": detokenise(words[:count])}})
    view.close()
    view.close()
    return stream.getvalue().split("\n", 1)[1]


@given(WORDS)
def test_a_pipe_gets_the_whole_text_unwrapped(words):
    text = detokenise(words)
    assert told(words, io.StringIO()) == text + ("" if not text or text.endswith("\n") else "\n")


@given(WORDS, st.integers(20, 60))
def test_a_terminal_gets_the_same_words_in_lines_that_fit(words, columns):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        written = told(words, Terminal())
    assert written.split() == detokenise(words).split()
    assert all(len(line.rstrip()) < max(columns, 21) or " " not in line.strip() for line in written.split("\n"))


def test_a_word_is_held_back_until_the_next_one_settles_it():
    stream = io.StringIO()
    view = TextStream(LAYOUT, stream)
    view.update({"shown": {"text": "the sail"}})
    view.update({"shown": {"text": "the sail is"}})
    assert stream.getvalue().endswith("\nthe ")
    view.update({"shown": {"text": "the sail is full"}})
    assert stream.getvalue().endswith("\nthe sail ")


def test_escape_sequences_do_not_reach_the_terminal():
    stream = io.StringIO()
    view = TextStream({"title": "a\x1b[2Jb", "chip": "", "note": ""}, stream)
    view.update({"shown": {"text": "one\x1b[31mtwo three"}})
    view.close()
    assert "\x1b" not in stream.getvalue()


def test_a_reader_who_leaves_does_not_end_the_run():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    view = TextStream(LAYOUT, Gone())
    view.update({"shown": {"text": "the sail is full"}})
    view.close()


def test_a_note_stands_on_its_own_line():
    stream = io.StringIO()
    view = TextStream(LAYOUT, stream)
    view.update({"shown": {"text": "the sail is full"}})
    view.update({"shown": {"text": "the sail is full ."}})
    view.note("PE(1,1,0)@0 is late")
    assert "\nPE(1,1,0)@0 is late\n" in stream.getvalue()
