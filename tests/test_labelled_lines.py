"""Lines of labels: folded between words where a terminal shows them, whole where they go to a file."""

import sys

from host.commands import _labelled_lines as labelled_lines
from host.commands._labelled_lines import fold, print_labelled

LINE = "mapping      8 PEs (uniform, csr); fullest: 27,944 B weights, 3,292 B variables (2,432 B of them behind the program)"


def test_what_goes_on_stands_behind_the_label():
    first, second = fold([LINE], 13, 80)
    assert max(map(len, (first, second))) <= 80
    assert second.startswith(" " * 13) and second[13] != " "
    assert f"{first} {second.strip()}" == LINE


def test_a_line_that_fits_and_a_word_that_never_does_stay_whole():
    path = "report       " + "runs/" * 30
    assert fold([LINE, "a  b"], 13, 120) == [LINE, "a  b"]
    assert path.split()[1] in {line.strip() for line in fold([path], 13, 80)} | {line.split()[-1] for line in fold([path], 13, 80)}


def test_only_a_terminal_folds(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_labelled([LINE])
    assert capsys.readouterr().out == f"{LINE}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_labelled([LINE])
    assert capsys.readouterr().out.count("\n") == 2
    monkeypatch.setenv("COLUMNS", str(labelled_lines.NARROWEST - 30))
    print_labelled([LINE])
    assert max(map(len, capsys.readouterr().out.splitlines())) > labelled_lines.NARROWEST - 30
