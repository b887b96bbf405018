import pytest

from sdlora.analysis import analyse
from sdlora.errors import RunError


def test_three_findings_with_their_numbers(sdlora):
    found = analyse(sdlora, device="cpu")
    assert [finding.number for finding in found.findings] == [1, 2, 3]
    document = found.to_dict()
    assert list(document) == ["run", "against", "method", "num_tasks", "findings"]
    assert (document["method"], document["num_tasks"], document["against"]) == ("sdlora", 3, None)
    assert len(document["findings"][0]["numbers"]["distances_to_start"]) == 3
    assert len(document["findings"][1]["numbers"]["residuals"]) == 2


def test_against_another_run(sdlora, lora):
    found = analyse(sdlora, lora, device="cpu")
    assert found.against.method == "lora"
    numbers = found.findings[2].numbers
    assert numbers["accuracies_against"] == analyse(lora, device="cpu").findings[2].numbers["accuracies"]
    assert "(lora " in found.findings[2].summary


def test_the_same_run_against_itself_is_undecided(sdlora):
    assert analyse(sdlora, sdlora, device="cpu").findings[2].verdict == "undecided"


@pytest.mark.parametrize(
    ("change", "what"),
    [("data.seed=5", "data or class order"), ("backbone.options={ width = 16, depth = 1, seed = 3 }", "backbone")],
)
def test_runs_that_cannot_be_compared(change, what, train, sdlora):
    with pytest.raises(RunError, match=f"differ in {what}"):
        analyse(sdlora, train(change), device="cpu")


def test_weights_that_never_moved_are_refused(train):
    alone = train("data.num_classes=3")  # one class a task: nothing to tell it from, so no gradient
    with pytest.raises(RunError, match="never moved") as caught:
        analyse(alone, device="cpu")
    assert caught.value.expected == "tasks of two classes or more"
