"""``sdlora serve`` as a process, and its refusals."""

import http.client
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lessons import Levels

from sdlora import Learner
from sdlora.server.running import listen

PAGE = Path(__file__).parents[2] / "docs" / "json.md"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    learner = Learner(device="cpu")
    learner.learn(Levels(), epochs=1)
    return learner.save(tmp_path_factory.mktemp("serve") / "levels")


def documented_keys():
    section = PAGE.read_text(encoding="utf-8").partition("## sdlora serve")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_stops_when_asked(model, number):
    command = [sys.executable, "-m", "sdlora.cli.main", "serve", str(model), "--port", "0", "--json", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            document = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            connection = http.client.HTTPConnection(document["url"].removeprefix("http://"), timeout=20)
            connection.request("GET", "/health/ready")
            assert connection.getresponse().status == 200
            connection.close()
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert set(document) | {f"limits.{name}" for name in document["limits"]} == documented_keys()
    assert (document["num_seen"], document["can_teach"]) == (2, True)
    assert process.returncode == 0
    assert out == ""
    assert "GET /health/ready 200" in err
    assert err.endswith("Stopped.\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--host", "0.0.0.0", "--teach", "on"], 2, "--teach off, or --token-file"),
        (["--max-batch", "0"], 2, "--max-batch 0"),
        (["--retest", "nowhere"], 2, "--retest nowhere is no folder"),
        (["--token-file", "nowhere"], 2, "--token-file nowhere cannot be read"),
        (["--teach", "maybe"], 2, "maybe"),
    ],
)
def test_wrong_options_are_refused(sdlora, model, words, code, message):
    answer = sdlora("serve", str(model), "--port", "0", *words)
    assert answer.code == code
    assert message in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "token", ["short", "two words that are long enough", "sch\N{LATIN SMALL LETTER O WITH DIAERESIS}n" * 9]
)
def test_a_weak_token_is_refused_and_not_printed(sdlora, model, tmp_path, token):
    (tmp_path / "token").write_text(token, encoding="utf-8")
    answer = sdlora("serve", str(model), "--token-file", str(tmp_path / "token"))
    assert answer.code == 2
    assert token not in answer.err
    assert "secrets.token_urlsafe()" in answer.err


def test_a_missing_bundle_and_a_taken_port(sdlora, model, tmp_path):
    assert sdlora("serve", str(tmp_path / "none"), "--port", "0").code == 3
    with listen("127.0.0.1", 0) as taken:
        answer = sdlora("serve", str(model), "--port", str(taken.getsockname()[1]))
    assert answer.code == 4
    assert "is taken" in answer.err


def test_without_the_extra_the_install_command_is_named(sdlora, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    answer = sdlora("serve", str(model))
    assert answer.code == 2
    assert 'pip install "sdlora[serve]"' in answer.err
