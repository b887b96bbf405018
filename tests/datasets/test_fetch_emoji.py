"""scripts/fetch_emoji.py without a network: packages are made here, and drawings stand in for rendered ones."""

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from emoji_drawings import FEW, drawing

from sdlora.datasets import emoji
from sdlora.datasets.emoji import drawing_name
from sdlora.datasets.emoji_classes import CODEPOINTS, HANDS
from sdlora.errors import DataError

SCRIPT = Path(__file__).parents[2] / "scripts/fetch_emoji.py"
HANDS_OF_ALL = [hand for hands in HANDS.values() for hand in hands]


@pytest.fixture
def script(monkeypatch):
    """The script, with a few classes in place of all."""
    spec = importlib.util.spec_from_file_location("fetch_emoji", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fetch_emoji", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(emoji, "CODEPOINTS", FEW)
    monkeypatch.setattr(module, "CODEPOINTS", FEW)
    return module


def tarball(files, extra=()):
    """A package as npm packs it; `extra` are further members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in extra:
            archive.addfile(member)
    return buffer.getvalue()


def package(emoji_set, **changes):
    icons = {emoji_set.drawing(label): {"body": f"<path id='{label}'/>"} for label in FEW}
    table = {"prefix": "made-up", "icons": icons, "width": 64, "height": 64, **changes}
    return tarball({"package/icons.json": json.dumps(table).encode(), "package/index.js": b"code"})


@pytest.fixture
def offline(script, monkeypatch):
    """A stand-in for npm and for the renderer; it counts what it is asked for."""
    packages = {(one.package, one.version): package(one) for one in script.SETS.values()}
    drawn = {hand: [drawing(label, hand) for label in FEW] for hand in HANDS_OF_ALL}
    for hand, one in script.SETS.items():
        sha256 = hashlib.sha256(packages[one.package, one.version]).hexdigest()
        monkeypatch.setitem(script.SETS, hand, replace(one, sha256=sha256))
        total = b"".join(hashlib.sha256(image).digest() for image in drawn[hand])
        monkeypatch.setitem(script.DRAWINGS, hand, hashlib.sha256(total).hexdigest())

    class Offline:
        def __init__(self):
            self.asked = []

        def pack(self, name, version, folder):
            self.asked.append(name)
            return packages[name, version]

        def render(self, documents):
            assert [f"id='{label}'" in svg for label, svg in zip(FEW, documents, strict=True)] == [True] * 6
            hand = next(hand for hand, one in script.SETS.items() if one.package == self.asked[-1])
            return drawn[hand]

    return Offline()


def test_it_lays_out_every_drawing_and_the_licences(script, offline, tmp_path, capsys):
    script.fetch(tmp_path / "emoji", offline.pack, offline.render)
    for hand in HANDS_OF_ALL:
        for label in FEW:
            assert (tmp_path / "emoji" / drawing_name(hand, label)).read_bytes() == drawing(label, hand)
    assert len(list((tmp_path / "emoji").rglob("*"))) == 2 + 2 * 6 + 8 * 6 + 1
    text = (tmp_path / "emoji/LICENSES.txt").read_text(encoding="utf-8")
    for one in script.SETS.values():
        for part in (one.title, one.authors, one.licence, f"{one.package} {one.version}"):
            assert part in text
    assert "Complete: " in capsys.readouterr().out


def test_a_second_call_asks_for_nothing(script, offline, tmp_path):
    script.fetch(tmp_path, offline.pack, offline.render)
    offline.asked.clear()
    script.fetch(tmp_path, offline.pack, offline.render)
    assert offline.asked == []


def test_after_an_interruption_the_rest_is_fetched(script, offline, tmp_path):
    script.fetch(tmp_path, offline.pack, offline.render)
    (tmp_path / drawing_name("twemoji", "bear")).unlink()
    (tmp_path / drawing_name("fluent", "fire")).write_bytes(b"half a drawing")
    offline.asked.clear()
    script.fetch(tmp_path, offline.pack, offline.render)
    assert offline.asked == [script.SETS["twemoji"].package, script.SETS["fluent"].package]
    assert (tmp_path / drawing_name("fluent", "fire")).read_bytes() == drawing("fire", "fluent")


def test_another_package_than_the_recorded_one_is_not_opened(script, offline, tmp_path):
    def pack(name, version, folder):
        return offline.pack(name, version, folder) + b" "

    with pytest.raises(DataError, match=r"@iconify-json/noto 1\.2\.9 has the sha256 [0-9a-f]{64}\nExpected: .*\nFix: "):
        script.fetch(tmp_path, pack, offline.render)
    assert not list(tmp_path.iterdir())


def test_other_drawings_than_the_recorded_ones_are_not_written(script, offline, tmp_path):
    with pytest.raises(DataError, match=r"the drawings of noto came out with the sha256 .*\nExpected: .*\nFix: "):
        script.fetch(tmp_path, offline.pack, lambda documents: offline.render(documents)[::-1])
    assert not list(tmp_path.iterdir())


def named(name, kind=tarfile.REGTYPE, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        named("../outside"),
        named("package/../../outside"),
        named("/etc/passwd"),
        named("elsewhere/icons.json"),
        named("package/a\\..\\b"),
        named("package/link", tarfile.SYMTYPE, "/etc/passwd"),
        named("package/icons.json", tarfile.LNKTYPE, "package/index.js"),
        named("package/pipe", tarfile.FIFOTYPE),
        named("package/device", tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type.decode()}",
)
def test_paths_that_lead_out_and_links_are_refused(script, member):
    data = tarball({"package/icons.json": b"{}"}, [member])
    with pytest.raises(DataError, match=r"made-up holds .*\nExpected: .*\nFix: do not use it"):
        script.members(data, ("package/icons.json",), "made-up")


def test_files_that_are_too_large_or_missing_are_refused(script, monkeypatch):
    data = tarball({"package/a": b"12345", "package/b": b"1"})
    assert script.members(data, ("package/b", "package/a"), "made-up") == [b"1", b"12345"]
    with pytest.raises(DataError, match="made-up lacks package/c"):
        script.members(data, ("package/a", "package/c"), "made-up")
    monkeypatch.setattr(script, "MAX_BYTES", 4)
    with pytest.raises(DataError, match="made-up holds 'package/a'"):
        script.members(data, ("package/b",), "made-up")


def test_a_set_without_a_class_is_refused(script):
    one = script.SETS["noto"]
    table = {"icons": {one.drawing(label): {"body": ""} for label in FEW if label != "bear"}}
    with pytest.raises(DataError, match="does not draw bear"):
        script.svg_documents(one, tarball({"package/icons.json": json.dumps(table).encode()}))


def test_a_drawing_is_put_in_the_middle_of_a_square(script):
    assert 'viewBox="0 -2 36 36"' in script.square_svg({"body": "<g/>", "width": 36, "height": 32})
    assert 'viewBox="-3 1 10 10"' in script.square_svg({"body": "<g/>", "width": 4, "height": 10, "top": 1})


@pytest.mark.parametrize("program", ["npm", "node"])
def test_a_missing_program_is_named(script, program, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=rf"noto needs {program}.*\nExpected: {program} to run.*\nFix: install node"):
        script.call([program, "pack"], tmp_path, "noto")


def test_npm_that_fails_is_quoted(script, tmp_path, monkeypatch):
    def fails(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "npm notice new version\nnpm error code ENOTFOUND\n")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(DataError) as caught:
        script.npm_pack("noto", "1.0.0", tmp_path)
    what, expected, fix = str(caught.value).splitlines()
    assert what == "noto 1.0.0: npm exited with 1: npm error code ENOTFOUND"
    assert expected == "Expected: npm to run and to reach a registry"
    assert "check the network" in fix


def test_npm_that_hangs_or_leaves_nothing_is_an_error(script, tmp_path, monkeypatch):
    def hangs(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 0, "", ""))
    with pytest.raises(DataError, match="npm pack left 0 tarballs of noto 1"):
        script.npm_pack("noto", "1", tmp_path)
    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(DataError, match="noto 1: npm took over 600 s"):
        script.npm_pack("noto", "1", tmp_path)


def test_the_command_prints_an_error_and_ends_with_its_exit_code(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert script.main(["--root", str(tmp_path / "emoji")]) == DataError.exit_code
    assert "needs npm" in capsys.readouterr().err
    assert not (tmp_path / "emoji").exists()


def test_every_package_has_an_exact_version_and_a_sha256(script):
    packages = [(one.package, one.version, one.sha256) for one in script.SETS.values()]
    for _, version, sha256 in [*packages, script.RENDERER]:
        assert version.replace(".", "").isdigit()
        assert len(bytes.fromhex(sha256)) == 32
    assert list(script.SETS) == HANDS_OF_ALL
    for one in script.SETS.values():
        assert set(one.names) <= set(CODEPOINTS)
