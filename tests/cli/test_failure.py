import errno
import re
from pathlib import Path

import pytest
import torch

from sdlora import errors
from sdlora.cli.console import Console
from sdlora.cli.failure import explain


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConfigError, 2),
        (errors.DataError, 2),
        (errors.RunError, 3),
        (errors.BundleError, 3),
        (errors.BackboneError, 3),
        (errors.BusyError, 4),
        (errors.CheckError, 5),
        (errors.PartialError, 6),
        (errors.StorageError, 7),
        (errors.NumericalError, 8),
    ],
)
def test_a_known_error_is_its_three_parts_and_its_code(kind, code, capsys):
    error = kind("it broke", expected="it to work", fix="sdlora list recipes")
    assert explain(error, Console()) == code
    assert capsys.readouterr().err == "Error: it broke\nExpected: it to work\nFix: sdlora list recipes\n"


def test_trouble_with_a_file_is_storage(capsys):
    assert explain(PermissionError(errno.EACCES, "Permission denied", "/x/y"), Console()) == 7
    assert "Error: cannot use /x/y: permission denied" in capsys.readouterr().err


def test_a_damaged_shipped_backbone_is_no_mistake_of_the_users(sdlora, workplace, monkeypatch):
    from sdlora.backbones import vit

    monkeypatch.setattr(vit, "_read_weights", lambda: (b"damaged", "0" * 64))
    answer = sdlora("train", "tiny.toml", "backbone.name=glyph_vit")
    assert answer.code == 3
    assert "Fix: pip install --force-reinstall --no-deps sdlora" in answer.err
    assert not list(workplace.rglob("manifest.json"))


@pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("no room")])
def test_out_of_memory_says_what_helps(error, capsys):
    assert explain(error, Console()) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: out of memory: no room\nFix: a smaller optim.batch_size")


def raised():
    try:
        raise KeyError("the culprit")
    except KeyError as error:
        return error


def test_a_bug_names_the_file_that_holds_its_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert explain(raised(), Console()) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (path,) = re.findall(r"The traceback is in (\S+)\.\n", err)
    text = Path(path).read_text()
    assert "Traceback" in text
    assert "the culprit" in text


def test_a_bug_is_told_even_if_nothing_can_be_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert explain(raised(), Console()) == 1
    assert "could not be stored" in capsys.readouterr().err


def test_verbose_prints_the_traceback(capsys):
    assert explain(raised(), Console(verbose=True)) == 1
    assert re.search(r"Traceback.*test_failure.py.*Error: KeyError", capsys.readouterr().err, re.DOTALL)


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["--optim.lr=1"], "optim.lr=1, without dashes"),
        (["--stream.root=my photos"], "'stream.root=my photos', without dashes"),
        (["--optim.lr", "1"], "optim.lr=VALUE, without dashes"),
        (["--nothing=1"], "sdlora train --help"),
    ],
)
def test_an_override_with_dashes_is_proposed_without(words, fix, sdlora):
    answer = sdlora("train", "demo/sdlora", *words)
    assert answer.code == 2
    assert f"No such option: {words[0].partition('=')[0]}\nFix: {fix}\n" in answer.err
