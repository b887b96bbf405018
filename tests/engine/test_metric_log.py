"""The log grows by whole rows and can be put back to what a checkpoint knows."""

from __future__ import annotations

import pytest

from sdlora.engine.metric_log import MetricLog, read_rows


def test_rows_come_back_in_order(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    rows = [{"event": "epoch", "loss": 0.1}, {"event": "Ende ü", "none": None}]
    for row in rows:
        log.append(row)
    assert read_rows(log.path) == rows
    assert log.path.read_bytes() == log.data
    assert log.path.read_bytes().count(b"\n") == 2


def test_restoring_cuts_repairs_and_creates(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.append({"row": 1})
    for data in (b"", log.data[:-3], log.data + b'{"row": 2}\n{"ro', b"other"):
        log.path.write_bytes(data)
        again = MetricLog(log.path)
        again.data = log.data
        again.restore()
        assert log.path.read_bytes() == log.data
    log.path.unlink()
    log.restore()
    assert read_rows(log.path) == [{"row": 1}]


def test_restoring_what_is_right_writes_nothing(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.append({"row": 1})
    before = log.path.stat()
    log.restore()
    assert log.path.stat().st_ino == before.st_ino


def test_a_torn_last_line_does_not_count_and_other_damage_does(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"row": 1}\n{"row')
    assert read_rows(path) == [{"row": 1}]
    path.write_bytes(b'{"row": 1\n{"row": 2}\n')
    with pytest.raises(ValueError, match="line 1"):
        read_rows(path)


def test_a_row_that_is_no_json_is_refused(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        log.append({"loss": float("nan")})
    assert log.data == b""
    assert not log.path.exists()
