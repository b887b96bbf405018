import csv

import pytest

from sdlora.cli.answer_rows import COLUMNS, Rows
from sdlora.cli.answers import Unreadable
from sdlora.predictions import ClassProbability, Prediction


def cells(line):
    (row,) = csv.reader([line])
    return row


def test_a_row_is_one_line_of_as_many_cells_as_columns():
    found = Prediction((ClassProbability('tulip "red", large', 0.25),), True, 3)
    assert cells(Rows().prediction("a\n,b.png", found)) == [
        r"a\n,b.png", 'tulip "red", large', "0.250000", "true", "3", "",
    ]  # fmt: skip
    assert cells(Rows().failure("c.png", Unreadable("not_found", "no such file"))) == [
        "c.png", "", "", "", "", "not_found: no such file",
    ]  # fmt: skip
    assert cells(Rows.heading) == list(COLUMNS)


@pytest.mark.parametrize("name", ["=cmd", "+1", "-1", "@x"])
def test_what_a_spreadsheet_would_take_for_a_formula(name):
    assert cells(Rows().prediction(name, Prediction((ClassProbability(name, 1.0),), False, 1)))[:2] == [f"'{name}"] * 2
