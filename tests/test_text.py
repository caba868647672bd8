"""What the text package promises: words, ids, and where text comes from."""

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import cache, pydocs
from models.text.corpus import SPLITS, Corpus, split_of, standard_library, text_file, wikitext
from models.text.tokeniser import EOS, UNK, TextError, detokenise, paragraphs, tokenise
from models.text.vocabulary import Vocabulary

WORD = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=8).filter(lambda w: w.split() == [w])
DOCUMENTS = [
    ("pydoc_data.topics.assert", "Assert statements are a convenient way to insert debugging assertions."),
    ("os.path", "Common operations on pathnames."),
]


def one_line(error):
    return "\n" not in str(error.value)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick Fox.", "the quick fox . <eos>"),
        ("don't 'quote' me", "don't ' quote ' me <eos>"),
        ("It\u2019s \u201cplain\u201d", 'it\'s " plain " <eos>'),
        ("call os.path.join(a_b, __c__)", "call os.path.join ( a_b , __c__ ) <eos>"),
        ("e.g. built-in, i.e. not", "e.g . built - in , i.e . not <eos>"),
        ("in 7 or 42 days of 1984", "in 7 or 42 days of N <eos>"),
        ("3.11 costs 1,000 or 0xff", "N costs N or N <eos>"),
        ("the 2nd of utf8 in N", "the 2nd of utf8 in n <eos>"),
        ("wait..... what?!", "wait . . . what ? ! <eos>"),
        ("a ---------- b", "a - - - b <eos>"),
        ("sign here ________", "sign here ___ <eos>"),
        ("as <UNK> said <unk>", "as <unk> said <unk> <eos>"),
        ("already ended <eos>", "already ended <eos>"),
        ("caf\u0065\u0301 na\u00efve \u00fcber", "caf\u00e9 na\u00efve \u00fcber <eos>"),
        ("bell\x07 esc\x1b[31m \ufefffin", "bell esc [ 31m fin <eos>"),
    ],
)
def test_tokenise_cuts_prose_into_lower_case_words_numbers_and_single_marks(text, words):
    assert tokenise(text) == words.split()


@pytest.mark.parametrize("text", ["", "\n", " \t\r\n \n", "\x00\x1b", "\ud800"])
def test_text_without_anything_to_see_has_no_words_and_no_paragraph(text):
    assert tokenise(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one line\nwrapped here\n\nnext", ["one line wrapped here", "next"]),
        ("windows\r\nlines\r\n\r\nnext", ["windows lines", "next"]),
        ("intro:\n- first\n- second\n* third", ["intro:", "- first", "- second", "* third"]),
        ("- first is\n  wrapped\n  twice\n- second", ["- first is wrapped twice", "- second"]),
        ("1. one\n2) two\n(a) three", ["1. one", "2) two", "(a) three"]),
        ("prose\n    code\n    more\nprose", ["prose", "code more", "prose"]),
        (">>> f()\n1\n>>> g()", [">>> f() 1", ">>> g()"]),
        ("Title\n=====\nText", ["Title =====", "Text"]),
        ("| a | b |\n| c | d |", ["| a | b |", "| c | d |"]),
        (":param x: the\n    first\n:param y: second", [":param x: the first", ":param y: second"]),
        ("a line\n-1 is no bullet", ["a line -1 is no bullet"]),
    ],
)
def test_wrapped_lines_are_joined_into_paragraphs(text, expected):
    assert list(paragraphs(text)) == expected


def test_each_paragraph_ends_with_eos_and_no_wrapped_line_does():
    assert tokenise("a\nb\n\nc") == ["a", "b", EOS, "c", EOS]


@given(st.text(st.characters()))
def test_tokenise_takes_any_text_at_all(text):
    words = tokenise(text)
    assert words == tokenise(text)
    assert all(word.split() == [word] for word in words)
    assert not words or words[-1] == EOS
    assert " ".join(words).encode("utf-8").decode() == " ".join(words)


@given(st.lists(st.sampled_from(["the", "a.b", "don't", "N", "(", ")", ".", "-", '"', "'s", UNK, EOS]) | WORD))
def test_detokenise_changes_nothing_but_spaces_and_line_breaks(words):
    shown = detokenise(words)
    plain = {"@-@": "-", "@,@": ",", "@.@": ".", EOS: ""}
    assert "".join(shown.split()) == "".join(plain.get(word, word) for word in words)
    assert shown.count("\n") == words.count(EOS)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("hello , world ! <eos> bye . <eos>", "hello, world!\nbye.\n"),
        ('say " yes " or ` no ` .', 'say "yes" or `no`.'),
        ("a list ( of [ two ] ) , f ( )", "a list (of [two]), f()"),
        ("built - in and / or", "built-in and/or"),
        ("wait . . . f ( ) - > x ! = 1", "wait... f() -> x != 1"),
        ("use ` ` x ` ` here", "use ``x`` here"),
        ("the ship 's built @-@ in 3 @.@ 5 m", "the ship's built-in 3.5 m"),
        ("<unk> <unk> .", "<unk> <unk>."),
        ("", ""),
    ],
)
def test_detokenise_writes_as_a_person_would(words, shown):
    assert detokenise(words.split()) == shown


# --- vocabulary -------------------------------------------------------------------------------------------------------


def test_the_most_frequent_word_comes_first_and_ties_are_alphabetical():
    tokens = [*"bacbacdddd", "rare", EOS, UNK]
    assert Vocabulary.build(tokens, min_count=2).words == (UNK, EOS, "d", "a", "b", "c")


def test_words_below_min_count_are_left_out_but_unk_and_eos_never():
    assert Vocabulary.build(["once", "twice", "twice"], min_count=2).words == (UNK, EOS, "twice")
    assert Vocabulary.build([]).words == (UNK, EOS)


@given(st.lists(WORD), st.randoms(use_true_random=False))
def test_build_depends_on_the_counts_not_on_the_order_of_the_text(tokens, random):
    shuffled = tokens[:]
    random.shuffle(shuffled)
    assert Vocabulary.build(tokens, min_count=1) == Vocabulary.build(shuffled, min_count=1)


@given(st.lists(WORD | st.sampled_from([UNK, EOS])))
def test_known_words_survive_encode_and_decode(tokens):
    vocabulary = Vocabulary.build(tokens, min_count=1)
    ids, unknown = vocabulary.encode(tokens)
    assert (ids.dtype, ids.shape, unknown) == (np.uint32, (len(tokens),), 0)
    assert vocabulary.decode(ids) == tokens
    assert np.all(ids < len(vocabulary))


def test_unknown_words_become_unk_and_are_counted_but_a_literal_unk_is_not():
    vocabulary = Vocabulary([UNK, EOS, "known"])
    ids, unknown = vocabulary.encode(["known", "new", UNK, "newer", EOS])
    assert vocabulary.decode(ids) == ["known", UNK, UNK, UNK, EOS]
    assert unknown == 2
    assert "known" in vocabulary
    assert "new" not in vocabulary


def test_ids_in_order_of_appearance_are_those_of_the_egru_authors():
    streams = [["a", "b", EOS], ["b", UNK, "c", EOS], ["d"]]
    assert Vocabulary.in_order_of_appearance(*streams).words == ("a", "b", EOS, UNK, "c", "d")
    assert Vocabulary.in_order_of_appearance(["a"], []).words == ("a", UNK, EOS)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([UNK, EOS, "a", "a"], "'a'"),
        ([EOS, "a"], UNK),
        ([UNK, "a"], EOS),
        ([], UNK),
        ([UNK, EOS, ""], "word 2"),
        ([UNK, EOS, "two words"], "two words"),
    ],
)
def test_a_vocabulary_that_cannot_serve_is_refused(words, complaint):
    with pytest.raises(TextError, match=complaint) as error:
        Vocabulary(words)
    assert one_line(error)


@pytest.mark.parametrize("number", [-1, 2, 2**32])
def test_decode_refuses_ids_outside_the_vocabulary(number):
    with pytest.raises(TextError, match=f"need 0 to 1, have {number}"):
        Vocabulary([UNK, EOS]).decode([number])


def test_min_count_below_one_is_refused():
    with pytest.raises(TextError, match="min_count"):
        Vocabulary.build(["a"], min_count=0)


def test_a_vocabulary_does_not_change_and_is_known_by_its_hash():
    vocabulary = Vocabulary([UNK, EOS, "é"])
    with pytest.raises(AttributeError):
        vocabulary.words = ()
    assert vocabulary.sha256 == hashlib.sha256("<unk>\n<eos>\né\n".encode()).hexdigest()
    assert vocabulary.sha256 != Vocabulary([EOS, UNK, "é"]).sha256
    assert Vocabulary(vocabulary.words) == vocabulary


# --- the standard library's documentation -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> list[tuple[str, str]]:
    return list(pydocs.documents())


@pytest.fixture(scope="module")
def documentation(documents, tmp_path_factory) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(pydocs, "documents", lambda: documents)
        corpus = standard_library()
        patch.setattr(pydocs, "documents", lambda: pytest.fail("the second call did not use the cache"))
        assert standard_library() == corpus
    return corpus


@pytest.mark.slow
def test_every_python_carries_a_corpus(documentation):
    assert len(documentation.train) > 100_000
    assert min(len(documentation.valid), len(documentation.test)) > 1_000
    assert all(documentation.documents[split] > 0 for split in SPLITS)
    for split in SPLITS:
        assert getattr(documentation, split)[-1] == EOS
    assert "\n" not in documentation.source
    assert 1_000 < len(Vocabulary.build(documentation.train)) < 20_000


@pytest.mark.slow
def test_no_long_paragraph_occurs_twice_in_any_split(documentation):
    long = [
        paragraph
        for split in SPLITS
        for paragraph in " ".join(getattr(documentation, split)).split(f" {EOS}")
        if len(paragraph.split()) > 6
    ]
    assert len(long) == len(set(long)) > 1_000


def test_documents_are_split_by_the_hash_of_their_name():
    assert [split_of(name) for name in ("os.path", "typing", "statistics")] == [
        {0: "valid", 1: "test"}.get(int(hashlib.sha256(name.encode()).hexdigest(), 16) % 20, "train")
        for name in ("os.path", "typing", "statistics")
    ]
    splits = [split_of(f"document {number}") for number in range(2_000)]
    assert 60 < splits.count("valid") < 140
    assert 60 < splits.count("test") < 140


def test_documents_have_names_of_their_own_so_that_splits_are_disjoint(monkeypatch):
    monkeypatch.setattr(pydocs, "_docstrings", lambda path: path.name)  # names alone: to read all that there is takes seconds
    names = [name for name, _ in pydocs.documents()]
    assert len(names) == len(set(names)) > 100
    assert {"pydoc_data.topics.assert", "argparse", "json.decoder", "email"} <= set(names)
    assert not any(name.startswith(("test.", "idlelib", "lib2to3", "turtledemo", "site-packages")) for name in names)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """An empty standard library, and no topics."""
    monkeypatch.setattr(pydocs, "stdlib_folder", lambda: tmp_path / "lib")
    monkeypatch.setitem(sys.modules, pydocs.TOPICS, None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "lib").mkdir()
    return tmp_path / "lib"


def test_docstrings_are_read_in_the_order_written_without_running_the_module(sources):
    (sources / "pack").mkdir()
    (sources / "pack" / "__init__.py").write_text(
        '"""Module."""\nraise SystemExit\nclass A:\n  """Class."""\n  def f(self):\n    """Method."""\n'
        'async def g():\n  """Function."""\n'
    )
    assert list(pydocs.documents()) == [("pack", "Module.\n\nClass.\n\nMethod.\n\nFunction.")]


def test_sources_that_cannot_be_read_are_left_out_and_warn_nobody(sources):
    (sources / "good.py").write_text('"""Good \\d escape."""')
    (sources / "syntax.py").write_text("def (")
    (sources / "nul.py").write_bytes(b"'''x'''\0")
    (sources / "latin.py").write_bytes(b'"""\xff"""')
    (sources / "gone.py").symlink_to(sources / "nowhere")
    (sources / "folder.py").mkdir()
    (sources / "test").mkdir()
    (sources / "test" / "skipped.py").write_text('"""Skipped."""')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(pydocs.documents()) == [("good", "Good \\d escape.")]


def test_a_python_without_any_documentation_is_an_error_that_names_both_places(sources):
    sources.rmdir()
    with pytest.raises(TextError, match=r"pydoc_data\.topics.*lib'") as error:
        standard_library()
    assert one_line(error)


# --- the cache --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A corpus of two documents, and a list that grows each time it is computed."""
    computed = []
    monkeypatch.setattr(pydocs, "documents", lambda: computed.append(1) or iter(DOCUMENTS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return computed


def the_cache(tmp_path) -> Path:
    (path,) = (tmp_path / "cache" / "gennaker").iterdir()
    return path


def test_a_corpus_is_computed_once_and_leaves_one_file(small, tmp_path):
    assert standard_library() == standard_library()
    assert len(small) == 1
    assert the_cache(tmp_path).name.startswith("corpus-")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-10],
        lambda text: text.replace("pathnames", "patronage"),
        lambda text: json.dumps({**json.loads(text), "record": None}),
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: "\x00" * len(text),
    ],
)
def test_a_damaged_cache_is_computed_again_and_mended(small, tmp_path, damage):
    whole = standard_library()
    path = the_cache(tmp_path)
    path.write_text(damage(path.read_text()))
    assert standard_library() == standard_library() == whole
    assert len(small) == 2


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"\x80" * 99])
def test_a_cache_that_is_not_text_is_computed_again(small, tmp_path, junk):
    standard_library()
    the_cache(tmp_path).write_bytes(junk)
    standard_library()
    assert len(small) == 2


def test_a_cache_that_cannot_be_written_is_no_error(small, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert standard_library() == standard_library()
    assert len(small) == 2


def test_a_folder_in_the_place_of_the_cache_is_no_error_and_leaves_nothing_behind(small, tmp_path):
    standard_library()
    path = the_cache(tmp_path)
    path.unlink()
    path.mkdir()
    standard_library()
    assert the_cache(tmp_path) == path


def test_a_user_without_a_home_has_no_cache_but_a_corpus(small, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert sum(standard_library().documents.values()) == len(DOCUMENTS)


def test_the_cache_belongs_to_one_python_and_one_state_of_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    source = tmp_path / "words.py"
    source.write_text("one")
    first = cache.cache_file([source], place="here")
    assert first.parent == Path.home() / ".cache" / "gennaker"
    assert first == cache.cache_file([source], place="here")
    assert first != cache.cache_file([source], place="there")
    source.write_text("two")
    assert first != cache.cache_file([source], place="here")
    source.unlink()
    assert cache.cache_file([source], place="here") is None


# --- text files -------------------------------------------------------------------------------------------------------


def test_a_text_file_gives_its_words(tmp_path):
    path = tmp_path / "prose.txt"
    path.write_bytes(b"\xef\xbb\xbfA first\r\nline.\r\n\r\nSecond\xe2\x80\x99s 1984")
    assert text_file(path) == text_file(str(path)) == ["a", "first", "line", ".", EOS, "second's", "N", EOS]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "is empty"), (b" \n\n", "need words"), (b"...!\n", "need words"), (b"caf\xe9 noir", "0xe9 at offset 3")],
)
def test_a_file_without_words_or_in_another_encoding_is_refused(tmp_path, content, complaint):
    path = tmp_path / "prose.txt"
    path.write_bytes(content)
    with pytest.raises(TextError, match=complaint) as error:
        text_file(path)
    assert str(path) in str(error.value)
    assert one_line(error)


@pytest.mark.parametrize(("name", "complaint"), [("missing", "no such file"), (".", "a folder"), ("a\0b\nc", "null")])
def test_what_is_no_file_is_refused(tmp_path, name, complaint):
    with pytest.raises(TextError, match=complaint) as error:
        text_file(tmp_path / name)
    assert one_line(error)


# --- WikiText ---------------------------------------------------------------------------------------------------------


def test_wikitext_is_split_at_white_space_and_every_line_ends_with_eos_even_a_blank_one(tmp_path):
    (tmp_path / "wiki.test.tokens").write_bytes(" \n = Title <unk> = \n \n The 1984 @-@ x\u2028y \r\nlast".encode())
    corpus = wikitext(tmp_path)
    assert detokenise(corpus.test).count("\n") == 5
    assert corpus.test == [EOS, "=", "Title", UNK, "=", EOS, EOS, "The", "1984", "@-@", "x", "y", EOS, "last", EOS]
    assert (corpus.train, corpus.valid) == ([], [])
    assert corpus.documents == {"train": 0, "valid": 0, "test": 1}


@given(text=st.text(st.characters(exclude_categories=("Cs",))))
def test_wikitext_gives_what_the_authors_loop_over_an_open_file_gives(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wikitext")
    path = folder / "test.txt"
    path.write_bytes(text.encode())
    theirs = []
    with path.open(encoding="utf8") as file:
        for line in file:
            theirs += [*line.split(), "<eos>"]
    if set(theirs) - {EOS}:
        assert wikitext(folder).test == theirs
    else:
        with pytest.raises(TextError, match="need words" if text else "is empty"):
            wikitext(folder)


def test_wikitext_accepts_both_namings_and_prefers_its_own(tmp_path):
    (tmp_path / "train.txt").write_text("a\n")
    (tmp_path / "valid.txt").write_text("b\n")
    (tmp_path / "wiki.valid.tokens").write_text("c\n")
    corpus = wikitext(str(tmp_path))
    assert (corpus.train, corpus.valid, corpus.test) == (["a", EOS], ["c", EOS], [])


@pytest.mark.parametrize(("name", "have"), [("", "none of them"), ("missing", "no such folder")])
def test_a_folder_without_wikitext_is_refused_with_what_was_looked_for(tmp_path, name, have):
    with pytest.raises(TextError, match=rf"wiki\.test\.tokens.*test\.txt.*{have}") as error:
        wikitext(tmp_path / name)
    assert one_line(error)


def test_wikitext_in_another_encoding_is_refused_with_the_offset(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"ab\xff")
    with pytest.raises(TextError, match=r"train\.txt.*0xff at offset 2"):
        wikitext(tmp_path)


# --- the package ------------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_none_of_its_modules():
    code = "import sys, models.text; print([m for m in sys.modules if m.startswith(('numpy', 'models.text.'))])"
    root = Path(__file__).parent.parent
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
