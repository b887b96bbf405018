from bundles import record

from sdlora.learner.summary import summary


def test_a_learner_in_a_few_lines():
    history = (record(1, ("a", "b", "c", "d")), record(2, ("e",), held_out_accuracy=None))
    assert summary("Learner(x)", history, 1_640_000).splitlines() == [
        "Learner(x), 1.6 MB learned",
        "lesson  date        classes     images  held-out then",
        "1       2026-09-02  a, b, c +1  20      75.0 %",
        "2       2026-09-02  e           20      not measured",
    ]
    assert summary("Learner(x)", (), 0) == "Learner(x), 0.0 MB learned"
