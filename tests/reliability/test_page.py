"""docs/reliability.md names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
PROOFS = re.findall(r"`(\w+/test_\w+\.py)`:((?: `test_\w+`,?)+)", PAGE)


def test_every_proof_is_there():
    assert len(PROOFS) > 40
    for file, names in PROOFS:
        source = (TESTS / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert f"def {name}(" in source, f"{file}: {name}"


def test_every_file_that_is_named_is_there():
    for file in re.findall(r"`(\w+/test_\w+\.py)`", PAGE):
        assert (TESTS / file).is_file(), file


def test_every_name_of_a_test_belongs_to_a_file():
    named = {name for _, names in PROOFS for name in re.findall(r"`(\w+)`", names)}
    assert named == set(re.findall(r"`(test_\w+)`", PAGE))


def test_every_promise_has_a_proof():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 25
    assert all("`: `test_" in row for row in rows)
