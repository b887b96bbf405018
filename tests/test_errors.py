import errno
from pathlib import Path

import pytest

from sdlora import errors
from sdlora.errors import ConfigError, SDLoRAError, StorageError


def test_a_message_has_its_three_parts():
    error = ConfigError("rank 0", expected="1 to 192", fix="method.rank=8")
    assert str(error) == "rank 0\nExpected: 1 to 192\nFix: method.rank=8"
    assert str(ConfigError("rank 0")) == "rank 0"


def test_every_error_is_a_builtin_one_too_and_has_its_own_exit_code():
    children = SDLoRAError.__subclasses__()
    assert {child.__mro__[2] for child in children} <= {ValueError, RuntimeError, OSError, ArithmeticError}
    assert {child.exit_code for child in children} == {2, 3, 4, 5, 6, 7, 8}
    tree = errors.__doc__ or ""
    for child in children:
        assert child.__name__ in tree


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_storage_errors_name_path_reason_and_remedy(number, tmp_path: Path):
    error = StorageError.from_os_error(OSError(number, "Reason here"), tmp_path / "a" / "b.json", needed=10)
    assert "b.json" in str(error)
    assert "reason here" in str(error)
    assert "Fix:" in str(error)
    assert error.errno == number
    assert ("bytes free" in str(error)) == (number == errno.ENOSPC)


def test_a_missing_folder_can_be_made(tmp_path: Path):
    def fix(path: Path, verb: str) -> str | None:
        return StorageError.from_os_error(OSError(errno.ENOENT, "gone"), path, verb=verb).fix

    assert fix(tmp_path / "my runs" / "page.html", "write") == f"mkdir -p '{tmp_path}/my runs'"
    assert fix(tmp_path / "page.html", "write") is None
    assert fix(tmp_path / "my runs" / "page.html", "read") is None
