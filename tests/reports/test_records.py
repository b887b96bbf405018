import pytest
from pydantic import ValidationError

from sdlora.reports.records import MatrixFile, TaskRow


def test_unknown_keys_are_not_for_reports():
    assert TaskRow.model_validate({"task": 1, "accuracy": [0.5], "later": {}}).task == 1


def test_numbers_that_are_not_finite_are_null():
    row = TaskRow.model_validate({"task": 0, "method": {"a": None, "b": [1.0, None], "c": 2}})
    assert row.method == {"a": None, "b": [1.0, None], "c": 2.0}


@pytest.mark.parametrize("hits", [[["1"]], [[1.0]], [[True]], "1", [1]])
def test_counts_are_integers(hits):
    with pytest.raises(ValidationError):
        MatrixFile.model_validate({"format": 1, "hits": hits, "totals": [[2]]})
