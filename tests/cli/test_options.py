from typing import Annotated

import typer
from typer.testing import CliRunner

from sdlora.cli.console import Console
from sdlora.cli.options import with_console


@with_console
def verb(console: Console, word: str, *, number: Annotated[int, typer.Option("--number")] = 1) -> int:
    """Say a word."""
    if word == "stop":
        raise KeyboardInterrupt
    console.result(f"{word} {number} {console.is_json} {console.is_quiet} {console.is_verbose}")
    console.note("said")
    return 0


app = typer.Typer(rich_markup_mode=None)
app.command()(verb)
runner = CliRunner()


def test_own_and_shared_options_arrive():
    done = runner.invoke(app, ["hello", "--quiet", "--number", "3", "--verbose"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "hello 3 False True True\n", "")
    assert runner.invoke(app, ["hello", "--json"]).stdout == ""


def test_help_shows_both():
    text = runner.invoke(app, ["--help"]).stdout
    assert all(option in text for option in ("--number", "--json", "--quiet", "--verbose", "Say a word."))


def test_ctrl_c_outside_training_is_130(capsys):
    assert verb("stop", json=False, quiet=False, verbose=False) == 130
    assert capsys.readouterr().err == "Stopped.\n"
