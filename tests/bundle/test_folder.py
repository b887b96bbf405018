"""What a bundle promises of its files to whoever reads it: B2, B4, H1, H3."""

import json
import random

import pytest
import torch
from bundles import description, newest, tensors

from sdlora.bundle import BundleConfig, commit_lesson, is_bundle, read_bundle, read_config
from sdlora.bundle.history import MARK
from sdlora.errors import BundleError


def rewrite(path, **changes):
    """Change the newest generation's document as somebody with an editor would."""
    file = newest(path)
    document = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))


def test_a_bundle_comes_back(shop):
    bundle = read_bundle(shop)
    assert bundle.config.classes == ("rose", "tulip", "fern")
    assert bundle.config.version == f"2-{bundle.config.weights.sha256[:4]}"
    assert all(torch.equal(bundle.tensors[name], value) for name, value in tensors(2).items())
    assert bundle.config == read_config(shop) == BundleConfig.model_validate_json(newest(shop).read_bytes())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a bundle: it holds no history"),
        (lambda path: path.write_text("x"), "is not a model folder"),
        (lambda path: (path.mkdir(), (path / MARK).write_text("{}")), "it looks like an export"),
    ],
)
def test_what_is_no_bundle_is_told(tmp_path, make, reason):
    make(tmp_path / "m")
    assert not is_bundle(tmp_path / "m")
    with pytest.raises(BundleError, match=reason) as caught:
        read_bundle(tmp_path / "m")
    assert caught.value.exit_code == 3


def test_b2_every_cut_is_noticed(shop):
    for file in (newest(shop), shop / read_config(shop).weights.file):
        data = file.read_bytes()
        for length in range(0, len(data), 97):
            file.write_bytes(data[:length])
            with pytest.raises(BundleError, match=file.name):
                read_bundle(shop)
        file.write_bytes(data + b"\0")
        with pytest.raises(BundleError, match=file.name):
            read_bundle(shop)
        file.write_bytes(data)
    read_bundle(shop)


def test_b2_every_flipped_bit_of_the_weights_is_noticed(shop):
    file = shop / read_config(shop).weights.file
    data = file.read_bytes()
    for place in random.Random(0).sample(range(8 * len(data)), 500):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with pytest.raises(BundleError, match=r"has sha256 [0-9a-f]{8}, not [0-9a-f]{8}"):
            read_bundle(shop)


def test_b2_every_flipped_bit_of_the_document_is_noticed(shop):
    """It is noticed, or it changed nothing that is read: a space between two keys, say."""
    file = newest(shop)
    data, config = file.read_bytes(), read_config(shop)
    named = 0
    for place in random.Random(0).sample(range(8 * len(data)), 500):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            assert read_bundle(shop).config == config
        except BundleError as error:
            named += file.name in str(error)
    assert named > 350


@pytest.mark.parametrize(
    ("old", "new"), [("rose", "nose"), ('"seed": 0', '"seed": 7'), ("0.75", "0.95"), ("2026-09-02", "2025-09-02")]
)
def test_b2_a_document_that_says_something_else_is_damaged(shop, old, new):
    file = newest(shop)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(BundleError, match=r"2\.json is damaged: it has sha256 [0-9a-f]{8}, not [0-9a-f]{8}"):
        read_bundle(shop)


def test_b4_documents_of_before_they_had_a_sha256_are_read(shop):
    rewrite(shop, sha256=..., seed=7)
    assert read_bundle(shop).config.seed == 7


def test_b2_missing_and_foreign_files_are_noticed(shop, tmp_path):
    other = tmp_path / "other"
    commit_lesson(other, description(("x", "y")), tensors(9), parent_generation=None)
    weights, theirs = shop / read_config(shop).weights.file, other / read_config(other).weights.file
    own = weights.read_bytes()
    weights.write_bytes(theirs.read_bytes())
    with pytest.raises(BundleError, match="has sha256"):
        read_bundle(shop)
    weights.unlink()
    with pytest.raises(BundleError, match="is missing"):
        read_bundle(shop)
    weights.mkdir()
    with pytest.raises(BundleError, match="is no file"):
        read_bundle(shop)
    weights.rmdir()
    weights.write_bytes(own)
    newest(shop).write_bytes(newest(other).read_bytes())
    with pytest.raises(BundleError, match="it says that it is generation 1"):
        read_bundle(shop)


def test_b4_a_newer_format_is_refused_with_the_version_that_wrote_it(shop):
    rewrite(shop, format=3, sdlora="0.9\x1b[31m", unheard_of=True)
    with pytest.raises(
        BundleError, match=r"(?s)has format 3, from sdlora 0\.9\\x1b.*Fix: pip install -U sdlora"
    ) as caught:
        read_bundle(shop)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("key", list(BundleConfig.model_fields))
def test_b4_a_missing_or_wrong_field_is_named(shop, key):
    before = newest(shop).read_bytes()
    if BundleConfig.model_fields[key].is_required():
        rewrite(shop, **{key: ...})
        with pytest.raises(BundleError, match=key):
            read_bundle(shop)
        newest(shop).write_bytes(before)
    rewrite(shop, **{key: {"a": "b"}})
    with pytest.raises(BundleError, match=key):
        read_bundle(shop)


@pytest.mark.parametrize(
    "name",
    [
        "../model-0123456789abcdef.safetensors",
        "/etc/passwd",
        "model-x.safetensors",
        "MODEL-0123456789abcdef.safetensors",
    ],
)
def test_h1_a_bundle_cannot_name_a_file_elsewhere(shop, name):
    weights = json.loads(newest(shop).read_text())["weights"]
    rewrite(shop, weights=weights | {"file": name})
    with pytest.raises(BundleError, match=r"weights\.file"):
        read_bundle(shop)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a": ' * 40 + b"1" + b"}" * 40,
        b" " * 1_000_001,
        b'{"format": -1}',
        b'{"format": true}',
        b'{"format": "1"}',
    ],
)
def test_h3_documents_are_read_strictly(shop, text):
    newest(shop).write_bytes(text)
    with pytest.raises(BundleError, match=r"2\.json"):
        read_bundle(shop)


def test_files_that_are_no_generations_do_not_count(shop):
    for name in ("007.json", "0.json", "-1.json", "3.json.partial", "x.json", f"{10**20}.json", "4.JSON"):
        (shop / "history" / name).write_text("{}")
    assert read_config(shop).generation == 2
