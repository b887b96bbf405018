import pytest

from sdlora.cli.listing import details, select, table
from sdlora.errors import ConfigError


@pytest.mark.parametrize("kind", ["methods", "recipes", "datasets", "backbones"])
def test_every_list_is_text_for_people_and_json_for_programs(kind, sdlora):
    text, rows = sdlora("list", kind), sdlora("list", kind, "--json").json
    assert text.code == 0
    assert "sdlora " in text.err  # the next step, not part of the result
    assert len(text.out.splitlines()) == len(rows) + 1
    assert [line.split()[0] for line in text.out.splitlines()[1:]] == [row["name"] for row in rows]
    assert len({frozenset(row) for row in rows}) == 1


def test_part_of_a_name_and_a_whole_one(sdlora):
    names = [row["name"] for row in sdlora("list", "recipes", "GLYPHS100_10/sdlora_", "--json").json]
    assert "glyphs100_10/sdlora_paper" in names
    assert "glyphs100_10/lora" not in names
    assert [row["name"] for row in sdlora("list", "methods", "lora", "--json").json] == ["lora"]


def test_one_method_shows_options_and_recipes(sdlora):
    out = sdlora("list", "methods", "sdlora").out
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "method"
    place = next(i for i, line in enumerate(lines) if line.startswith("rank_schedule"))
    assert lines[place].split(maxsplit=2)[1:] == ["absent", 'one of "paper" or list of lists of 2 integers']
    assert lines[place + 1].startswith('    SD-LoRA-RR: "paper" (0.8 of `rank` from task 4 on')
    assert "    demo/sdlora, demo/sdlora_kd, demo/sdlora_layers, demo/sdlora_rr," in out
    assert max(map(len, lines)) <= 120


def test_costs_are_measured_where_they_are_asked_for(sdlora):
    answer = sdlora("list", "methods", "lora", "--cost", "--json")
    (row,) = answer.json
    assert (row["passes"], row["learnable"], row["kept"]) == (1.0, 368_640, 0)
    assert row["gflops"] == pytest.approx(35.126, abs=5e-4)
    assert "without weights" in answer.err
    (other,) = sdlora("list", "methods", "lora", "--json").json
    assert other == row | dict.fromkeys(("passes", "gflops", "learnable", "kept"))


def test_the_table_of_costs_leaves_out_words(sdlora):
    head, line = sdlora("list", "methods", "simplecil", "--cost").out.splitlines()[:2]
    assert head.split() == [
        "method", "rehearsal-free", "one", "pass", "end-to-end", "merges", "passes", "GFLOPs", "learnable", "kept"
    ]  # fmt: skip
    assert line.split() == ["simplecil", "yes", "yes", "no", "no", "1", "35.13", "0", "0"]


def test_costs_are_rounded_once(sdlora):
    line = sdlora("list", "methods", "dualprompt", "--cost").out.splitlines()[1]
    assert line.split()[6] == "70.29", "70.2949, which is 70.295 to three places"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method"], 'there is no list "method"\nExpected: one of methods, recipes, datasets, backbones\n'
                     "Fix: sdlora list methods"),
        (["recipes", "glyphs10_10/sdlora"], 'no recipe matches "glyphs10_10/sdlora"\n'
                                            "Fix: sdlora list recipes glyphs100_10/sdlora"),
        (["recipes", "--cost"], "recipes have no cost\nFix: sdlora list methods --cost"),
        (["datasets", "zzz"], 'no dataset matches "zzz"\nFix: sdlora list datasets'),
    ],
)  # fmt: skip
def test_nothing_found(words, message, sdlora):
    answer = sdlora("list", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"Error: {message}\n"


def test_select_and_table():
    entries = [{"name": "lora", "fast": True, "options": []}, {"name": "sdlora", "fast": None, "options": []}]
    assert select("methods", entries, "LORA") == entries
    assert select("methods", entries, "lora") == entries[:1]
    with pytest.raises(ConfigError):
        select("methods", entries, "x")
    assert table(entries) == ["name    fast", "lora    yes", "sdlora  -"]
    assert table([{"name": "x", "end_to_end": 12345}], "method") == ["method  end-to-end", "x       12,345"]


def test_details_say_absent_where_there_is_no_default():
    option = {"name": "rank", "type": "integer", "default": None, "about": "``R``, " + 30 * "much "}
    assert details({"options": [option], "recipes": []}) == [
        "", "option  default  type", "rank    absent   integer", f"    R, {(18 * 'much ').strip()}",
        f"    {(12 * 'much ').strip()}", "", "recipes", "    none",
    ]  # fmt: skip
    assert details({"options": [], "recipes": ["a/b"]}) == ["", "no options", "", "recipes", "    a/b"]
