import csv
import io

import pytest
from made_up_runs import MadeUp

from sdlora.errors import ConfigError
from sdlora.reports.runs import load_runs
from sdlora.reports.summary import summarise
from sdlora.reports.table import best, render_table, to_csv


def rows_of(made):
    return summarise(load_runs([made.root]))


def three(made):
    for seed in (0, 1):
        made.add("sdlora", seed, hits=[[90], [80, 80 + 2 * seed]], manifest={"seconds": 62.0})
        made.add("lora", seed, hits=[[90], [80, 80]], manifest={"seconds": 60.0})
        made.add("finetune", seed, hits=[[90], [20, 90]], manifest={"seconds": 600.0})
        made.add("joint", seed, hits=[[95, 95]], manifest={"seconds": None})
    return rows_of(made)


def test_terminal(small):
    assert render_table(three(small)) == (
        "method    seeds         Acc         AAA  forgetting  time/seed  trained  stored\n"
        "sdlora        2  80.5 ± 0.7  85.2 ± 0.4  10.0 ± 0.0       62 s   37.2 k  74.5 k\n"
        "lora          2  80.0 ± 0.0  85.0 ± 0.0  10.0 ± 0.0       60 s   37.2 k  37.6 k\n"
        "finetune      2  55.0 ± 0.0  72.5 ± 0.0  70.0 ± 0.0   10.0 min   2.70 M  2.70 M\n"
        "joint         2  95.0 ± 0.0           –           –          –   2.70 M  2.70 M"
    )


def test_markdown_sets_the_best_and_its_equals_in_bold(small):
    lines = render_table(three(small), "markdown").splitlines()
    assert lines[1] == "|---|---:|---:|---:|---:|---:|---:|---:|"
    assert lines[2].startswith("| sdlora | 2 | **80.5 ± 0.7** | **85.2 ± 0.4** | **10.0 ± 0.0** |")
    assert lines[3].startswith("| lora | 2 | **80.0 ± 0.0** | **85.0 ± 0.0** | **10.0 ± 0.0** |")
    assert "**" not in lines[4] + lines[5]


def test_best_leaves_joint_out_and_needs_rivals(small):
    rows = three(small)
    assert best(rows, "acc") == {0, 1}
    assert best(rows, "forgetting") == {0, 1}
    assert best(rows[:1], "acc") == set()
    assert best(rows[3:], "acc") == set()


def test_each_stream_has_its_table(small, tmp_path):
    small.add("lora", 0)
    MadeUp(tmp_path / "runs", stream="other_2", task_sizes=(2, 2)).add("lora", 0)
    rows = rows_of(small)
    text = render_table(rows)
    assert text.startswith("other_2, glyph_vit\nmethod")
    assert "\n\nsmall_2, glyph_vit\nmethod" in text
    assert render_table(rows, "markdown").startswith("**other_2, glyph_vit**\n\n| method")


def test_no_rows_no_table():
    assert render_table([]) == ""
    assert to_csv([]) == ""


def test_another_format_is_refused(small):
    with pytest.raises(ConfigError, match='no table format is called "latex"'):
        render_table(three(small), "latex")


def test_markdown_escapes_names(small):
    small.add("a|b<script>`*x*`[y](z)", 0, name="evil")
    line = render_table(rows_of(small), "markdown").splitlines()[2]
    assert line.startswith(r"| a\|b&lt;script&gt;\`\*x\*\`\[y\](z) |")


def test_no_control_character_reaches_the_terminal(small):
    small.add("a\x1b[31m\n\u202eb", 0, name="evil")
    text = render_table(rows_of(small))
    assert r"a\x1b[31m\n\u202eb" in text
    assert len(text.splitlines()) == 2


def test_csv_has_every_column(small):
    rows = three(small)
    (first, *_) = read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert list(first) == list(rows[0])
    assert float(first["acc_mean"]) == rows[0]["acc_mean"]
    assert first["seed_values"] == "0 1"
    assert read[3]["aaa_mean"] == ""


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_csv_holds_no_formula(small, name):
    small.add(name, 0, name="evil")
    (row,) = csv.DictReader(io.StringIO(to_csv(rows_of(small))))
    assert row["method"] == f"'{name}"
