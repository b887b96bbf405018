import pytest

from sdlora.reports.classes import SHOWN, class_findings, title_of_classes
from sdlora.reports.comparison import compare
from sdlora.reports.runs import load_runs


def entry_of(made):
    return compare(load_runs([made.root]))[0].ranked[0]


def stream(*names):
    return {"name": "small_2", "digest": "0", "classes": [*names], "tasks": [[*names[:2]], [*names[2:]]]}


def test_counts_are_summed_by_name_over_orders_of_classes(small):
    small.add(
        "lora", 0, manifest={"stream": stream("ant", "bee", "cat", "dog")},
        confusion=[[1, 3, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 2, 2]],
    )  # fmt: skip
    small.add(
        "lora", 1, manifest={"stream": stream("dog", "cat", "bee", "ant")},
        confusion=[[3, 1, 0, 0], [0, 4, 0, 0], [1, 0, 3, 0], [0, 0, 2, 2]],
    )  # fmt: skip
    small.add("lora", 2, manifest={"stream": stream("dog", "cat", "bee", "ant")})
    found = class_findings(entry_of(small))
    assert found.num_runs == 2
    assert [(one.name, one.accuracy, one.images) for one in found.hardest] == [
        ("ant", 3 / 8, 8), ("dog", 5 / 8, 8), ("bee", 7 / 8, 8), ("cat", 1.0, 8)
    ]  # fmt: skip
    assert [(one.true, one.predicted, one.share, one.images) for one in found.pairs] == [
        ("ant", "bee", 5 / 8, 5), ("dog", "cat", 3 / 8, 3), ("bee", "dog", 1 / 8, 1)
    ]  # fmt: skip
    assert title_of_classes({"lora": found}) == "lora takes 62.5 % of ant for bee."


def test_no_more_than_ten_of_each(made_up):
    size = 100
    counts = [[1 if column in (row, (row + 1) % size) else 0 for column in range(size)] for row in range(size)]
    made_up.add("lora", 0, confusion=counts)
    found = class_findings(entry_of(made_up))
    assert (len(found.hardest), len(found.pairs)) == (SHOWN, SHOWN)


def test_a_method_without_mistakes(small):
    small.add("lora", 0, confusion=[[5 if row == column else 0 for column in range(4)] for row in range(4)])
    found = class_findings(entry_of(small))
    assert found.pairs == ()
    assert title_of_classes({"lora": found}) == "lora takes no class for another."


@pytest.mark.parametrize("counts", [None, [[0] * 4] * 4])
def test_nothing_counted_is_nothing_found(small, counts):
    small.add("lora", 0, confusion=counts)
    assert class_findings(entry_of(small)) is None
