from sdlora.cli import counting as module
from sdlora.cli.console import Console
from sdlora.cli.counting import counting


def test_without_a_terminal_there_is_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.0)
    assert list(counting(Console(), "image", "abcd", 4)) == list("abcd")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("  image 1 of 4, ")
    assert lines[-1] == "  image 4 of 4, 0.0 s left"


def test_short_work_is_silent(capsys):
    assert list(counting(Console(), "image", range(1000), 1000)) == list(range(1000))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    assert console.has_bars
    assert list(counting(console, "image", "ab", 2)) == ["a", "b"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "image" in captured.err
