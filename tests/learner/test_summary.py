from lessons import Stripes, learner

from sdlora.learner import Learner
from sdlora.learner.summary import DASH, counted, heading, known, lesson_table


def rows(made):
    return [line.split() for line in lesson_table(made)]


def test_counts():
    assert [counted(n, "class", "classes") for n in (0, 1, 1200)] == ["0 classes", "1 class", "1,200 classes"]


def test_before_the_first_lesson():
    made = Learner("untrained_vit", method="lora", rank=2, device="cpu")
    assert known(made) == "not taught yet"
    assert lesson_table(made) == []
    assert heading(made)[0] == "not taught yet, lora rank 2, version 0"
    assert heading(made)[1].startswith(f"backbone untrained_vit (sha256 {made.backbone.sha256[:8]}), 0.0318 M")


def test_what_is_put_into_the_backbone_is_no_part_of_it():
    adapted = Learner("untrained_vit", method="lora", rank=4, device="cpu")
    adapted.learn(Stripes((0, 1)), epochs=1)
    assert heading(adapted)[1] == heading(Learner("untrained_vit", method="probe", device="cpu"))[1]


def test_a_line_for_each_lesson():
    made = learner("sdlora", (0, 1, 2, 3), (4, 5), rank=2, adapt_tasks=None)
    head, *lessons = rows(made)
    assert head == ["lesson", "date", "classes", "images", "from", "held-out", "then", "rank", "magnitude"]
    assert lessons[0][2:9] == ["stripes", "0,", "stripes", "1,", "stripes", "2", "+1"]
    assert lessons[0][9:11] == ["32", "Stripes"]
    assert [line[-2:] for line in lessons] == [["2", f"{x:.2f}"] for x in made.method.report()["magnitudes"]]
    assert len({len(line) for line in lesson_table(made)}) == 1


def test_a_lesson_that_trained_nothing_has_no_magnitude():
    made = learner("sdlora", (0, 1), (2,), (3, 4), rank=2, adapt_tasks=None)
    first, _, third = made.method.report()["magnitudes"]
    assert [line[-1] for line in rows(made)[1:]] == [f"{first:.2f}", DASH, f"{third:.2f}"]
    early = learner("sdlora", (0, 1), (2, 3), rank=2)
    assert [line[-1] for line in rows(early)[1:]] == [f"{early.method.report()['magnitudes'][0]:.2f}", DASH]
    frozen = learner("sdlora", (0, 1), rank=2, adapt_tasks=0)
    assert rows(frozen)[0][-2:] == ["held-out", "then"]


def test_a_lesson_without_new_classes_names_those_it_taught_again():
    made = learner("probe", (0, 1))
    made.learn(Stripes((1,)), update=True)
    assert rows(made)[2][2:5] == ["again:", "stripes", "1"]


def test_names_of_any_width_stay_in_their_columns():
    made = learner("probe", (0, 1))
    made.rename({"stripes 0": "日本語"})
    head, line = lesson_table(made)
    assert "日本語, stripes 1" in line
    assert len(line) == len(head) - 3  # each of the three fills two columns of a terminal


def test_without_a_learned_rank_there_are_no_such_columns():
    assert rows(learner("probe", (0, 1)))[0][-2:] == ["held-out", "then"]
