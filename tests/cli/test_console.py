import json
import logging

import pytest

from sdlora.cli.console import Console


def test_results_go_to_stdout_and_the_rest_to_stderr(capsys):
    console = Console()
    console.result("a result")
    console.document({"a": 1})
    console.note("a note")
    console.warn("a warning")
    console.error("an error")
    captured = capsys.readouterr()
    assert captured.out == "a result\n"
    assert captured.err == "a note\nWarning: a warning\nError: an error\n"


def test_json_is_one_document_and_nothing_else_on_stdout(capsys):
    console = Console(json=True)
    console.result("a result")
    console.document({"a": [1, None, "ä"]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None, "ä"]}
    with pytest.raises(ValueError, match="Out of range float values"):
        console.document({"a": float("nan")})


def test_text_cannot_steer_a_terminal(capsys):
    console = Console()
    for say in (console.result, console.note, console.warn, console.error):
        say("\x1b[31m \x9b31m \u202e \udcff\n\tä")
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "\\x1b[31m \\x9b31m \\u202e \\udcff\n\\tä" in text


def test_json_cannot_steer_a_terminal(capsys):
    hostile = "\x1b[31m \x9b31m \u202e \u2028 \n \U000e0001 ä \U0001f33b"
    Console(json=True).document({"name": hostile, "list": [hostile]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": hostile, "list": [hostile]}
    assert all(char.isprintable() or char == "\n" for char in out)
    assert "ä \U0001f33b" in out


def interrupted(console):
    with console.array() as add:
        add(1)
        raise KeyboardInterrupt


def test_an_array_is_a_document_however_it_ends(capsys):
    console = Console(json=True)
    with console.array() as add:
        add({"a": 1})
        add({"a": "\x9b"})
    assert json.loads(capsys.readouterr().out) == [{"a": 1}, {"a": "\x9b"}]
    with console.array():
        pass
    assert json.loads(capsys.readouterr().out) == []
    with pytest.raises(KeyboardInterrupt):
        interrupted(console)
    assert json.loads(capsys.readouterr().out) == [1]


def test_an_array_is_for_programs_only(capsys):
    with Console().array() as add:
        add(1)
    assert capsys.readouterr().out == ""


def test_quiet_leaves_results_and_errors(capsys):
    console = Console(quiet=True)
    console.result("a result")
    console.note("a note")
    console.warn("a warning")
    logging.getLogger("sdlora").warning("logged")
    console.error("an error")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("a result\n", "Error: an error\n")


@pytest.mark.parametrize(("verbose", "lines"), [(False, ["Warning: b"]), (True, ["a", "Warning: b"])])
def test_what_parts_of_sdlora_log(verbose, lines, capsys):
    Console(verbose=verbose)
    logging.getLogger("sdlora.part").info("a")
    logging.getLogger("sdlora").warning("b")
    assert capsys.readouterr().err.splitlines() == lines


def test_text_is_text(capsys):
    Console().note("[red]x[/red] :smile: " + "long " * 100)
    assert capsys.readouterr().err == "[red]x[/red] :smile: " + "long " * 100 + "\n"


def test_no_bars_without_a_terminal():
    assert not Console().has_bars
