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
    for text in ("option ", "rank_schedule", "list of lists of 2 integers", "recipes: ", "glyphs100_10/sdlora"):
        assert text in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method"], 'there is no list "method"\nExpected: one of methods, recipes, datasets, backbones\n'
                     "Fix: sdlora list methods"),
        (["recipes", "glyphs10_10/sdlora"], 'no recipe matches "glyphs10_10/sdlora"\n'
                                            "Fix: sdlora list recipes glyphs100_10/sdlora"),
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


def test_details_say_absent_where_there_is_no_default():
    entry = {"options": [{"name": "rank", "type": "integer", "default": None}], "recipes": []}
    assert details(entry) == ["", "option  default  type", "rank    absent   integer", "", "recipes: none"]
