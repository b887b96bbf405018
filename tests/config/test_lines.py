from hypothesis import given
from hypothesis import strategies as st

from sdlora.config.lines import key_lines


def test_keys_after_values_of_several_lines():
    text = '''# a comment with [brackets] and = signs

[run]
seeds = [ # 0,
  0,
  1, # ]
]
text = """
[not.a.table]
key = 1
"""
other = \'\'\'
x = 2\'\'\'
after = "a # b" # c

[stream]   # d
options = { a = 1,
  b = [2] }
last = 3
'''
    assert key_lines(text) == {
        ("run",): 3,
        ("run", "seeds"): 4,
        ("run", "text"): 8,
        ("run", "other"): 12,
        ("run", "after"): 14,
        ("stream",): 16,
        ("stream", "options"): 17,
        ("stream", "last"): 19,
    }


def test_dotted_quoted_and_windows_lines():
    text = "top = 1\r\n[a . \"b c\"]\r\nd.'e' = 1\r\n[[rows]]\r\nf=1"
    assert key_lines(text) == {
        ("top",): 1,
        ("a", "b c"): 2,
        ("a", "b c", "d", "e"): 3,
        ("rows",): 4,
        ("rows", "f"): 5,
    }


@given(st.lists(st.sampled_from(["", "# note", "x", 'y"""z"""', "s"]), max_size=12))
def test_every_key_of_a_generated_document_is_found(kinds):
    rows, expected, line = ["[t]"], {("t",): 1}, 1
    for number, kind in enumerate(kinds):
        line += 1
        if kind == "x":
            rows.append(f"k{number} = [1,\n2]")
            expected["t", f"k{number}"] = line
            line += 1
        elif kind.startswith("y"):
            rows.append(f'k{number} = """\n#"\n"""')
            expected["t", f"k{number}"] = line
            line += 2
        elif kind == "s":
            rows.append(f"k{number} = '\"'")
            expected["t", f"k{number}"] = line
        else:
            rows.append(kind)
    assert key_lines("\n".join(rows)) == expected
