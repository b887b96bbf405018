import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from torchvision import datasets as torchvision_datasets

from sdlora.datasets import cifar100 as module
from sdlora.datasets.base import DATASETS
from sdlora.errors import DataError

load = DATASETS.get("cifar100")
NAMES = [f"class {index}" for index in range(100)]


def python2_pickle(value):
    """Pickle with protocol 2 as Python 2 did, its strings as bytes: what the published archive holds."""
    out = [b"\x80\x02"]

    def put(value):
        if isinstance(value, str | bytes):
            data = value.encode() if isinstance(value, str) else value
            out.append(
                b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data
            )
        elif isinstance(value, int):
            out.append(b"J" + struct.pack("<i", value))
        elif isinstance(value, list):
            out.append(b"](")
            for item in value:
                put(item)
            out.append(b"e")
        elif isinstance(value, dict):
            out.append(b"}(")
            for key, item in value.items():
                put(key)
                put(item)
            out.append(b"u")
        else:
            out.append(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01")
            put(value.shape[0])
            put(value.shape[1])
            out.append(
                b"\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            )
            put(value.tobytes())
            out.append(b"tb")

    put(value)
    return b"".join([*out, b"."])


def part(count, seed):
    random = np.random.default_rng(seed)
    return {
        "filenames": [f"{index}.png" for index in range(count)],
        "batch_label": "training batch 1 of 1",
        "fine_labels": [index % 100 for index in range(count)],
        "coarse_labels": [index % 20 for index in range(count)],
        "data": random.integers(0, 256, (count, 3072), dtype=np.uint8),
    }


@pytest.fixture
def files(monkeypatch):
    """A miniature of the archive's members, taken for the published ones."""
    meta = {"fine_label_names": NAMES, "coarse_label_names": ["kind"] * 20}
    files = {"train": part(300, 1), "test": part(100, 2), "meta": meta}
    files = {name: python2_pickle(value) for name, value in files.items()}
    for name, data in files.items():
        monkeypatch.setitem(module.MD5, name, hashlib.md5(data).hexdigest())
    return files


def unpack(files, folder):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def pack(files, path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {"file.txt~": b"", **files}.items():
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path.write_bytes(buffer.getvalue())
    monkeypatch.setitem(module.MD5, path.name, hashlib.md5(buffer.getvalue()).hexdigest())


def check(dataset):
    assert dataset.classes == tuple(NAMES)
    assert dataset.train.images.shape == (300, 32, 32, 3)
    assert np.bincount(dataset.train.labels).tolist() == [3] * 100
    assert dataset.test.labels.tolist() == list(range(100))
    planes = part(100, 2)["data"][7].reshape(3, 32, 32)
    assert np.array_equal(dataset.test.images[7], np.dstack(list(planes)))


def test_archive(files, tmp_path, monkeypatch):
    pack(files, tmp_path / "cifar-100-python.tar.gz", monkeypatch)
    check(load(tmp_path, 224))


@pytest.mark.parametrize("place", [".", "cifar-100-python"])
def test_unpacked_archive(files, tmp_path, place):
    unpack(files, tmp_path / "data" / place)
    check(load(tmp_path / "data", 224))


def test_reads_the_same_as_torchvision(files, tmp_path, monkeypatch):
    unpack(files, tmp_path / "cifar-100-python")
    theirs = torchvision_datasets.CIFAR100
    monkeypatch.setattr(theirs, "train_list", [["train", module.MD5["train"]]])
    monkeypatch.setattr(theirs, "test_list", [["test", module.MD5["test"]]])
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": module.MD5["meta"]})
    ours = load(tmp_path, 32)
    for split, train in ((ours.train, True), (ours.test, False)):
        oracle = theirs(tmp_path, train=train)
        assert np.array_equal(split.images, oracle.data)
        assert split.labels.tolist() == oracle.targets
    assert list(ours.classes) == oracle.classes


def test_checksums_are_the_published_ones():
    theirs = torchvision_datasets.CIFAR100
    assert {
        theirs.filename: theirs.tgz_md5,
        "train": theirs.train_list[0][1],
        "test": theirs.test_list[0][1],
        "meta": theirs.meta["md5"],
    } == module.MD5


def test_pickles_of_python_3_are_read_too(tmp_path, monkeypatch):
    for name, value in (("train", part(300, 1)), ("test", part(100, 2)), ("meta", {"fine_label_names": NAMES})):
        (tmp_path / name).write_bytes(pickle.dumps(value, protocol=4))
        monkeypatch.setitem(module.MD5, name, hashlib.md5((tmp_path / name).read_bytes()).hexdigest())
    check(load(tmp_path, 32))


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_another_checksum_is_refused_before_anything_is_unpickled(files, tmp_path, name, monkeypatch):
    unpack({**files, name: files[name] + b" "}, tmp_path / "cifar-100-python")
    monkeypatch.setattr(module._ArraysOnly, "load", lambda self: pytest.fail("it was unpickled"))
    with pytest.raises(
        DataError, match=rf"{name} is damaged, or another version: its md5 is [0-9a-f]{{32}}\nExpected: "
    ):
        load(tmp_path, 32)


def test_a_damaged_archive_is_refused(files, tmp_path, monkeypatch):
    path = tmp_path / "cifar-100-python.tar.gz"
    pack(files, path, monkeypatch)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"cifar-100-python\.tar\.gz is damaged"):
        load(tmp_path, 32)


class Payload:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize(
    "payload",
    [Payload(eval, "1 + 1"), Payload(open, "made", "w"), Payload(np.load, "made"), Payload(getattr, "text", "upper")],
)
def test_code_in_a_pickle_is_not_run_even_with_the_right_checksum(files, tmp_path, payload, monkeypatch):
    data = pickle.dumps({"fine_label_names": payload}, protocol=4)
    unpack({**files, "meta": data}, tmp_path / "data")
    monkeypatch.setitem(module.MD5, "meta", hashlib.md5(data).hexdigest())
    with pytest.raises(DataError, match="meta of CIFAR-100 cannot be read: it asks for "):
        load(tmp_path / "data", 32)


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps([1]), pickle.dumps({})[:-2]])
def test_other_contents_are_a_data_error(files, tmp_path, data, monkeypatch):
    unpack({**files, "meta": data}, tmp_path / "data")
    monkeypatch.setitem(module.MD5, "meta", hashlib.md5(data).hexdigest())
    with pytest.raises(DataError, match="meta of CIFAR-100"):
        load(tmp_path / "data", 32)
