import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import sdlora.cli
from sdlora import __version__
from sdlora.cli import analyze, demo, evaluate, export, inspect, learn, listing, predict, report, serve, train
from sdlora.cli.main import BEGIN, app, main
from sdlora.config.load import load_recipe

VERBS = {
    "demo": demo,
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "inspect": inspect,
    "learn": learn,
    "report": report,
    "list": listing,
    "export": export,
    "analyze": analyze,
    "serve": serve,
}
SOURCE = Path(sdlora.cli.__file__).parents[1]


def parse(line: str) -> None:
    """Let the command line parse a command without running it; raises on anything it would refuse."""
    program, verb, *words = line.split()
    assert program == "sdlora"
    command = typer.main.get_command(app)
    with command.make_context("sdlora", [verb, *words]) as context:
        command.commands[verb].make_context(verb, words, parent=context)


def test_alone_it_shows_the_verbs_and_three_commands_to_begin_with(sdlora):
    answer = sdlora()
    assert answer.code == 0
    assert answer.err == ""
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\w.*\.$", answer.out, re.MULTILINE)
    assert "..." not in answer.out.partition("Commands:")[2]  # no sentence is cut off
    assert len(BEGIN) == 3
    for command in BEGIN:
        assert f"\n    {command}\n" in answer.out
        parse(command)


def test_every_verb_has_a_file_here():
    assert set(typer.main.get_command(app).commands) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_two_examples_that_parse(verb, sdlora):
    answer = sdlora(verb, "--help")
    assert answer.code == 0
    for option in ("--json", "--quiet", "--verbose"):
        assert option in answer.out
    examples = VERBS[verb].EXAMPLES
    assert len(examples) == 2
    assert [line.strip() for line in answer.out.rstrip().splitlines()[-3:]] == ["Examples:", *examples]
    for example in examples:
        parse(example)


@pytest.mark.parametrize("example", [*train.EXAMPLES, BEGIN[2]])
def test_examples_of_train_name_recipes_that_load(example):
    _, _, recipe, *overrides = example.split()
    load_recipe(recipe, overrides)


def test_commands_that_messages_propose_parse():
    proposed = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r'(?:fix=f?"|Fix: |Next: |: )(sdlora (?:\w+) [^"\n]*|sdlora \w+)(?="|$)', text)
        proposed |= {re.split(r",| or |      |\. |\\n", re.sub(r"\{[^}]*\}", "x", line))[0].strip() for line in found}
    assert len(proposed) >= 8
    for line in proposed:
        parse(line)


def test_version(sdlora):
    assert sdlora("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train"], "Fix: sdlora train --help"),
        (["train", "x", "--frehs"], "No such option: --frehs"),
        (["--frehs"], "Fix: sdlora --help"),
        (["list", "methods", "a", "b"], "Fix: sdlora list --help"),
    ],
)
def test_a_wrong_command_is_two_lines_and_exit_2(words, message, sdlora):
    answer = sdlora(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("Error: ")
    assert message in answer.err
    assert "Traceback" not in answer.err


def run(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, "-m", "sdlora.cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("words", [[], ["--help"], ["train", "--help"], ["list", "recipes"]])
def test_what_needs_no_torch_does_not_wait_for_it(words):
    script = f"import sys; from sdlora.cli.main import main; main({words}); sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0


def test_as_a_process_it_returns_the_code():
    assert run("list", "nothing").returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a shell with pipes")
def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, "-m", "sdlora.cli.main", "list", "recipes"]
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(command, env=environment, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert "Error" not in done.stderr


def test_text_that_the_terminal_cannot_show_is_escaped():
    done = subprocess.run(
        [sys.executable, "-m", "sdlora.cli.main", "list", "\N{GEORGIAN LETTER AN}"],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b'no list "\\u10d0"' in done.stderr


def test_main_without_words_reads_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sdlora"])
    assert main() == 0
    assert "Usage: sdlora" in capsys.readouterr().out
