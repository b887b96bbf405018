"""H2 to H5, B2, B6 for a backbone that lies in the bundle: one file for all generations, checked on every reading."""

import errno
import json
import os
import random
import shutil
import struct

import pytest
import torch
from bundles import base, contents, description, give_base, newest, tensors, with_base
from reliability.faults import Calls

from sdlora import files
from sdlora.bundle import (
    Base,
    BundleConfig,
    MeasuredTask,
    Measurement,
    commit_lesson,
    is_bundle,
    read_bundle,
    read_config,
    record,
    undo,
    writing,
)
from sdlora.bundle.base import layout_of
from sdlora.bundle.config import FORMAT
from sdlora.errors import BundleError, ConfigError, StorageError
from sdlora.files import digest, parse_tensors, tensor_bytes

FILE = base()[0].file
LESSONS = (("rose", "tulip"), ("fern",), ("ivy",), ("moss",))


def commit(path, number, give=give_base, seed=0):
    """Commit lesson `number`; the generation holds that value in all its weights."""
    made = with_base(description(*LESSONS[:number]), seed)
    return commit_lesson(path, made, tensors(number), parent_generation=number - 1 or None, give_base=give)


@pytest.fixture
def nest(tmp_path):
    """A bundle of two lessons with a backbone in it."""
    path = tmp_path / "nest"
    commit(path, 1)
    commit(path, 2, give=None)
    return path


def forge(path, tensors=None, data=None, **changes):
    """Make of the newest generation what somebody with tools could: sizes and hashes are right, the content is not."""
    file = newest(path)
    document = json.loads(file.read_text())
    held = document["backbone"]["base"]
    data = tensor_bytes(tensors) if data is None else data
    sha256 = digest(data)
    (path / held["file"]).unlink(missing_ok=True)
    held |= {"file": f"base-{sha256[:16]}.safetensors", "size": len(data), "sha256": sha256}
    held["blueprint"] |= changes
    document["sha256"] = None
    file.write_text(json.dumps(document))
    (path / held["file"]).write_bytes(data)


def test_it_comes_back(nest):
    found = read_bundle(nest)
    expected = parse_tensors(give_base())
    assert found.base.keys() == expected.keys()
    assert all(torch.equal(found.base[name], value) for name, value in expected.items())
    assert found.config.backbone.base == base()[0]


def test_it_is_written_once_and_asked_for_once(nest):
    before = (nest / FILE).stat()

    def unasked():
        raise AssertionError("the file is there")

    commit(nest, 3, give=unasked)
    after = (nest / FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_without_a_backbone_a_document_is_what_it_was(shop, nest):
    named, own = (json.loads(newest(path).read_text()) for path in (shop, nest))
    assert (named["format"], named["backbone"]) == (1, {"name": "untrained_vit", "sha256": "0" * 64})
    assert (own["format"], own["backbone"]["base"]["file"]) == (2, FILE)
    assert FORMAT == 2


@pytest.mark.parametrize(("where", "value"), [("shop", 2), ("nest", 1)])
def test_b4_each_kind_of_backbone_has_its_format(where, value, request):
    """So a sdlora that knows no backbone in a bundle refuses it by its format, not by a key it never heard of."""
    file = newest(request.getfixturevalue(where))
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"format": value, "sha256": None}))
    with pytest.raises(BundleError, match=f"format {value} is written of another kind of backbone"):
        read_bundle(file.parents[1])


def test_b2_every_cut_and_flipped_bit_is_noticed(nest):
    file, draw = nest / FILE, random.Random(0)
    data = file.read_bytes()
    for length in range(0, len(data), 997):
        file.write_bytes(data[:length])
        with pytest.raises(BundleError, match=rf"{FILE} has [\d,]+ bytes, not (?s:.*)another copy of this folder"):
            read_bundle(nest)
    for place in draw.sample(range(8 * len(data)), 100):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with pytest.raises(BundleError, match=rf"{FILE} has sha256 [0-9a-f]{{8}}, not {base()[0].sha256[:8]}"):
            read_bundle(nest)
    file.unlink()
    with pytest.raises(BundleError, match=rf"{FILE} is missing(?s:.*)Fix: copy {FILE} from another copy"):
        read_bundle(nest)
    file.mkdir()
    with pytest.raises(BundleError, match="is no file"):
        read_bundle(nest)


def test_a_damaged_backbone_is_not_undone_and_the_next_lesson_mends_it(nest):
    """All states need it; who holds it in memory brings it back."""
    (nest / FILE).write_bytes(b"damaged")
    before = contents(nest)
    for change in (undo, lambda path: commit(path, 3, give=None)):
        with pytest.raises(BundleError, match=FILE):
            change(nest)
        assert contents(nest) == before
    assert commit(nest, 3).generation == 3
    assert (nest / FILE).read_bytes() == give_base()
    read_bundle(nest)


def test_undo_and_records_keep_it(nest):
    part = MeasuredTask(task=1, num_images=8, accuracy=0.5)
    found = Measurement(name="test", sha256="0" * 64, num_images=8, accuracy=0.5, tasks=(part,), date="2026-01-02")
    record(nest, 2, found)
    assert undo(nest).backbone.base == base()[0]
    assert len(read_bundle(nest).config.tasks) == 1
    assert [path.name for path in nest.glob("base-*")] == [FILE]


def test_a_copy_of_the_folder_is_whole(nest, tmp_path):
    shutil.copytree(nest, tmp_path / "copy")
    shutil.rmtree(nest)
    assert read_bundle(tmp_path / "copy").base is not None


def test_what_no_kept_generation_needs_goes_and_what_is_younger_stays(nest):
    old, young = (nest / f"base-{digit * 16}.safetensors" for digit in "12")
    for file, when in ((old, 1), (young, 2**32)):
        file.write_bytes(b"of a killed writer")
        os.utime(file, (when, when))
    os.utime(nest / FILE, (1, 1))
    commit(nest, 3, give=None)
    assert {path.name for path in nest.glob("base-*")} == {FILE, young.name}
    read_bundle(nest)


def test_another_backbone_takes_its_place_when_no_state_needs_the_first(nest):
    other = base(1)[0].file
    commit(nest, 3, give=lambda: give_base(1), seed=1)
    assert {path.name for path in nest.glob("base-*")} == {FILE, other}
    assert len(undo(nest).tasks) == 2
    assert {path.name for path in nest.glob("base-*")} == {FILE}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE])
def test_b6_a_start_that_fails_leaves_nothing_and_one_that_does_not_is_whole(tmp_path, number):
    """An error at every call of the operating system, the writing of the backbone among them."""
    files.os = calls = Calls(lambda number, name: None)
    try:
        commit(tmp_path / "trial", 1)
    finally:
        files.os = os
    assert calls.names.count("replace") >= 2
    for fault in range(len(calls.names)):
        path = tmp_path / f"{fault}"

        def fail(call, name, fault=fault):
            if call == fault:
                raise OSError(number, os.strerror(number))

        files.os = Calls(fail)
        try:
            commit(path, 1)
            succeeded = True
        except StorageError:
            succeeded = False
        finally:
            files.os = os
        if not succeeded:
            assert not is_bundle(path)
            assert not path.exists() or contents(path) == {}, (fault, calls.names[fault])
            commit(path, 1)
        read_bundle(path)
        with writing(path):
            assert not list(path.rglob("*.partial"))


def test_the_loser_of_a_conflict_does_not_take_it_from_the_winner(tmp_path, monkeypatch):
    """Without working locks: another writer begins the same bundle while this one is about to."""
    path, real = tmp_path / "m", files.write_new

    def late(file, data, *, like=None):
        monkeypatch.setattr("sdlora.bundle.commit.write_new", real)
        commit(path, 1)
        return real(file, data, like=like)

    monkeypatch.setattr("sdlora.bundle.commit.write_new", late)
    with pytest.raises(RuntimeError, match="changed by another process"):
        commit_lesson(path, with_base(description(("x", "y"))), tensors(9), parent_generation=None, give_base=give_base)
    assert read_bundle(path).config.classes == LESSONS[0]


HOSTILE = {
    "a tensor less": (lambda held: held.pop("norm.weight"), "tensor norm.weight is missing"),
    "a tensor more": (lambda held: held.update(extra=torch.ones(1)), "tensor extra is unknown"),
    "another type": (lambda held: held.update({"norm.weight": torch.ones(32).double()}), "is F64 .*, not F32"),
    "another shape": (lambda held: held.update({"norm.weight": torch.ones(33)}), r"is F32 \[33\], not F32 \[32\]"),
    "as many numbers in another shape": (
        lambda held: held.update({"norm.weight": torch.ones(4, 8)}),
        r"is F32 \[4, 8\]",
    ),
    "no number": (lambda held: held["norm.weight"].fill_(float("nan")), "tensor norm.weight holds the value nan"),
    "infinite": (lambda held: held["norm.weight"].fill_(float("-inf")), "tensor norm.weight holds the value inf"),
    "absurd": (lambda held: held["norm.weight"].fill_(1e30), r"tensor norm.weight holds the value 1e\+30"),
}


@pytest.mark.parametrize(("change", "words"), HOSTILE.values(), ids=HOSTILE)
def test_h2_h4_tensors_are_exactly_those_of_the_blueprint(nest, change, words):
    held = parse_tensors(give_base())
    change(held)
    forge(nest, held)
    with pytest.raises(BundleError, match=words):
        read_bundle(nest)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"width": 16_384, "mlp_dim": 65_536, "depth": 200},
            r"is said to have 129,864 bytes for weights of 2,577,163,943,936",
        ),
        ({"depth": 1}, r"tensor blocks\.1\.attn\.proj\.bias is unknown"),
        ({"num_heads": 32, "qk_norm": True}, r"k_norm\.bias is missing"),
        ({"norm": "os.system"}, "blueprint.timm.norm"),
        ({"depth": 10**9}, "blueprint.timm.depth"),
        ({"library": "os"}, "blueprint"),
        ({"embed_layer": "builtins.eval"}, "embed_layer"),
    ],
)
def test_h2_h5_a_blueprint_that_does_not_belong_to_the_file_builds_nothing(nest, changes, words):
    forge(nest, data=give_base(), **changes)
    with pytest.raises(BundleError, match=words):
        read_bundle(nest)


def test_h2_a_file_of_a_header_alone_is_refused(nest):
    text = json.dumps({"a": {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}}).encode()
    for data in (struct.pack("<Q", len(text)) + text, b"\0" * 9, give_base()[:-4], give_base() + b"\0" * 4):
        forge(nest, data=data)
        with pytest.raises(BundleError):
            read_bundle(nest)


@pytest.mark.parametrize(
    "name", ["../base-0123456789abcdef.safetensors", "/etc/passwd", "model-0123456789abcdef.safetensors"]
)
def test_h1_it_cannot_lie_elsewhere(nest, name):
    file = newest(nest)
    document = json.loads(file.read_text())
    document["backbone"]["base"]["file"] = name
    file.write_text(json.dumps(document | {"sha256": None}))
    with pytest.raises(BundleError, match=r"backbone\.base\.file"):
        read_bundle(nest)


def test_i6_its_name_cannot_steer_a_terminal(nest):
    file = newest(nest)
    document = json.loads(file.read_text())
    document["backbone"]["name"] = "\x1b[31m"
    file.write_text(json.dumps(document | {"sha256": None}))
    with pytest.raises(BundleError, match="the name holds control characters"):
        read_config(nest)


def test_a_size_is_that_of_the_weights_and_a_header():
    made, data = base()
    assert {name: tuple(value.shape) for name, value in layout_of(made).items()} == {
        name: tuple(value.shape) for name, value in parse_tensors(data).items()
    }
    for size in (8, 100_000, len(data) + 5_000_000, 2**40):
        with pytest.raises(ValueError, match="is said to have"):
            layout_of(Base(**made.model_dump(exclude={"size", "blueprint"}), size=size, blueprint=made.blueprint))


def test_a_library_that_is_not_installed_is_named(nest, monkeypatch):
    def absent(_):
        raise ConfigError("a Hugging Face backbone needs transformers", fix='pip install "sdlora[hf]"')

    monkeypatch.setattr("sdlora.backbones.builder.build_timm", absent)
    with pytest.raises(BundleError, match=r"cannot be built: a Hugging Face(?s:.*)Fix: pip install"):
        read_bundle(nest)


def test_a_document_with_a_backbone_comes_back_as_it_was(nest):
    config = read_config(nest)
    assert BundleConfig.model_validate_json(newest(nest).read_bytes()) == config
    assert config.model_dump(mode="json") == json.loads(newest(nest).read_text())
