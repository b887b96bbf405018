"""H2, H4: what a weights file must be before a single tensor is made of it."""

import contextlib
import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlora.bundle import weights
from sdlora.bundle.weights import CODES, LARGEST, MAX_HEADER, MAX_TENSORS, check_header, read_weights
from sdlora.files import tensor_bytes

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def file(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
def test_tensors_come_back(dtype):
    tensors = {
        "a": torch.ones(2, 3, dtype=dtype),
        "b": torch.zeros(0, 4, dtype=dtype),
        "c": torch.ones((), dtype=dtype),
    }
    found = read_weights(tensor_bytes(tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == dtype for name in tensors)


CRAFTED = {
    "empty": b"",
    "seven bytes": b"1234567",
    "header longer than the file": struct.pack("<Q", 100) + b"{}",
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": file(b"{"),
    "not UTF-8": file(b'{"\xff": 1}'),
    "a list": file([]),
    "a number": file(1),
    "deep": file(b"[" * 100_000),
    "a name twice": file(b'{"a": %s, "a": %s}' % (json.dumps(entry()).encode(), json.dumps(entry()).encode()), b"1234"),
    "an entry that is none": file({"a": 1}),
    "an entry without offsets": file({"a": {"dtype": "F32", "shape": [1]}}, b"1234"),
    "an entry with more": file({"a": entry() | {"x": 1}}, b"1234"),
    "a name with a separator": file({"../a": entry()}, b"1234"),
    "a name that steers a terminal": file({"\x1b[31m": entry()}, b"1234"),
    "a name of nothing": file({"": entry()}, b"1234"),
    "a name without end": file({"a" * 201: entry()}, b"1234"),
    "a name that is no text": file(b'{"\\ud800": ' + json.dumps(entry()).encode() + b"}", b"1234"),
    "metadata": file({"__metadata__": {"format": "pt"}, "a": entry()}, b"1234"),
    "a type that is no text": file({"a": entry(1)}, b"1234"),
    "a type that is a list": file({"a": entry(["F32"])}, b"1234"),
    "unknown type": file({"a": entry("F8_E4M3", (4,))}, b"1234"),
    "2^62 x 0": file({"a": entry(shape=(2**62, 0), offsets=(0, 0))}),
    "a side too large": file({"a": entry(shape=(2**32, 0), offsets=(0, 0))}),
    "1000 dimensions": file({"a": entry(shape=(1,) * 1000)}, b"1234"),
    "a negative side": file({"a": entry(shape=(-1, -1))}, b"1234"),
    "a fractional side": file({"a": entry(shape=(1.0,))}, b"1234"),
    "a side that is true": file({"a": entry(shape=(True,))}, b"1234"),
    "a shape that is no list": file({"a": entry() | {"shape": 1}}, b"1234"),
    "a product that overflows": file({"a": entry(shape=(2**31, 2**31, 2**31))}, b"1234"),
    "too short": file({"a": entry(shape=(2,))}, b"1234"),
    "offsets backwards": file({"a": entry(offsets=(4, 0))}, b"1234"),
    "offsets of three": file({"a": entry(offsets=(0, 4, 4))}, b"1234"),
    "a negative offset": file({"a": entry(offsets=(-4, 0))}, b"1234"),
    "a gap": file({"a": entry(), "b": entry(offsets=(8, 12))}, b"1" * 12),
    "an overlap": file({"a": entry(), "b": entry(offsets=(0, 4))}, b"1234"),
    "an overlap in part": file({"a": entry(shape=(2,), offsets=(0, 8)), "b": entry(offsets=(4, 8))}, b"1" * 8),
    "a body too long": file({"a": entry()}, b"12345"),
    "a body too short": file({"a": entry()}, b"123"),
    "a body without tensors": file({}, b"1"),
    "truth of 2": file({"a": entry("BOOL", (4,))}, b"\0\1\2\0"),
}


def test_there_are_forty_crafted_files():
    assert len(CRAFTED) >= 40


@pytest.mark.parametrize("data", CRAFTED.values(), ids=CRAFTED)
def test_crafted_files_are_refused_before_a_tensor_is_made(data, monkeypatch):
    monkeypatch.setattr(weights, "parse_tensors", lambda _: pytest.fail("tensors were made"))
    with pytest.raises(ValueError, match=r"header|tensor"):
        read_weights(data)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "F32", "U8"])
TREES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2)
ENTRIES = st.fixed_dictionaries({"dtype": TREES, "shape": TREES, "data_offsets": TREES})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["a", "b"]), ENTRIES, max_size=2), st.binary(max_size=16))
def test_any_header_is_in_order_or_refused(header, body):
    with contextlib.suppress(ValueError):
        check_header(file(header, body))


def test_a_million_empty_tensors_are_refused_at_once():
    names = {f"{index}": entry(shape=(0,), offsets=(0, 0)) for index in range(MAX_TENSORS + 1)}
    data = file(names)
    assert len(data) < MAX_HEADER
    with pytest.raises(ValueError, match=f"at most {MAX_TENSORS:,}"):
        check_header(data)
    with pytest.raises(ValueError, match=f"at most {MAX_HEADER:,}"):
        check_header(file(b" " * (MAX_HEADER + 1)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e30])
@pytest.mark.parametrize("name", ["head.weight", "head.bias"])
def test_numbers_that_no_training_leaves_behind_are_refused_by_name(dtype, value, name):
    tensors = {"head.weight": torch.ones(3, 4, dtype=dtype), "head.bias": torch.ones(3, dtype=dtype)}
    tensors[name].view(-1)[-1] = value  # 1e30 is infinite in half precision
    with pytest.raises(ValueError, match=f"tensor {name} holds the value"):
        read_weights(tensor_bytes(tensors))


def test_statistics_may_be_large():
    tensors = {"gram": torch.full((2,), LARGEST)}
    assert torch.equal(read_weights(tensor_bytes(tensors))["gram"], tensors["gram"])


@pytest.mark.parametrize("dtype", CODES)
def test_a_layout_is_names_types_and_shapes(dtype):
    held = {"a": torch.ones(2, 3, dtype=dtype), "b": torch.zeros((), dtype=dtype)}
    layout = {name: torch.empty(value.shape, dtype=dtype, device="meta") for name, value in held.items()}
    assert read_weights(tensor_bytes(held), layout).keys() == held.keys()
    for change, words in (
        ({"a": None}, "tensor a is missing"),
        ({"c": held["a"]}, "tensor c is unknown"),
        ({"a": held["a"].T.contiguous()}, r"tensor a is \w+ \[3, 2\], not \w+ \[2, 3\]"),
        ({"b": held["b"].to(torch.int8)}, r"tensor b is I8 \[\], not"),
    ):
        changed = {name: value for name, value in {**held, **change}.items() if value is not None}
        with pytest.raises(ValueError, match=words):
            read_weights(tensor_bytes(changed), layout)
