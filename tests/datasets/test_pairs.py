import pytest

from sdlora.datasets.pairs import NUMBER, read_pairs
from sdlora.errors import DataError


def test_fields_of_each_line(tmp_path):
    (tmp_path / "list.txt").write_text("a/b.jpg 3\n\n  c/d.jpg\t12  \r\n", encoding="utf-8")
    assert list(read_pairs(tmp_path / "list.txt", ("<path>", NUMBER))) == [("a/b.jpg", "3"), ("c/d.jpg", "12")]


@pytest.mark.parametrize("line", ["a b c", "a", "a three", "a -1", "a ²"])
def test_another_line_is_named_by_file_and_number(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"x 1\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2 of .*list\.txt is") as caught:
        list(read_pairs(tmp_path / "list.txt", ("<path>", NUMBER)))
    assert "lines of <path> <number>" in str(caught.value)


def test_unreadable_file(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt"):
        list(read_pairs(tmp_path / "gone.txt", ("<path>", NUMBER)))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"binary\.txt"):
        list(read_pairs(tmp_path / "binary.txt", ("<path>", NUMBER)))
