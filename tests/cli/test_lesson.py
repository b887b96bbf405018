import re
from pathlib import Path

import pytest
from bundles import record
from lessons import learner, write_stripes

from sdlora.bundle import Retest, Weakest
from sdlora.cli.console import Console
from sdlora.cli.lesson import LessonProgress, report, roughly
from sdlora.learner import LessonPlan


def test_a_plan_is_told_with_what_was_left_out(capsys):
    plan = LessonPlan(2, ("a",), ("b", "c"), 1200, 30, ("x\x1b.png", "y", "z", "w"), ("left out: hidden files 2",))
    LessonProgress(Console(), Path("shop"), learner("probe", (0, 1))).on_plan(plan)
    assert capsys.readouterr().err.splitlines() == [
        "Lesson 2 for shop: 1 new class, 2 known classes again, 1,200 images (30 held out), probe, cpu.",
        r"  skipped 4 unreadable files (x\x1b.png, y, z, ...)",
        "  left out: hidden files 2",
    ]


def test_how_long_it_takes_is_said_if_it_is_worth_saying(capsys):
    progress = LessonProgress(Console(), Path("shop"), learner("probe", (0, 1)))
    progress.on_estimate(4.9)
    progress.on_estimate(118.0)
    assert capsys.readouterr().err == "  about 2 min\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "5 s"), (33, "35 s"), (89, "90 s"), (95, "2 min"), (3000, "50 min"), (5400, "1.5 h"), (10_000, "3 h")],
)
def test_an_estimate_is_a_round_number(seconds, text):
    assert roughly(seconds) == text


def test_held_out_accuracy_stands_beside_the_loss(tmp_path, capsys):
    made = learner("sdlora", head="linear")
    with LessonProgress(Console(), Path("shop"), made) as progress:
        made.learn(write_stripes(tmp_path / "data", (0, 1)), epochs=2, progress=progress)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "epoch 2/2  loss" in last
    assert re.search(r"  held-out \d+ % after epoch 1$", last.partition("  1")[0])  # measured before this epoch began


def test_a_report_for_people_and_for_programs():
    made = learner("probe", (0, 1), (2, 3))
    weakest = Weakest(label="moss", accuracy=0.79, taken_for="fern")
    retest = Retest(name="winter", classes=2, tasks=(1,), num_images=300, before=0.96, after=0.953)
    known = record(2, ("moss",), weakest=weakest, retests=(retest,), seconds=109.0, source="summer")
    document, lines = report(Path("shop"), made, known, 1_600_000)
    assert lines[0].endswith("75.0 %   weakest: moss 79 % (taken for fern)")
    assert lines[1].startswith("  winter, lesson 1, 300 images   ")
    assert lines[1].endswith("96.0 % -> 95.3 %")
    assert lines[2] == (
        "Saved shop: 4 classes in 2 lessons, +1.6 MB, taught in 1.8 min. Undo: sdlora learn shop --undo"
    )
    assert document["retests"] == [{"path": "winter", "tasks": [1], "num_images": 300, "before": 0.96, "after": 0.953}]
    assert document["source"] == "summer"
    nothing, lines = report(Path("shop"), learner("probe", (0, 1)), record(1, ("a", "b"), held_out_accuracy=None), 0)
    assert "not measured: too few to hold any out" in lines[0]
    assert lines[-1].endswith("Next: sdlora predict shop IMAGE")
    assert document.keys() == nothing.keys()


def test_lessons_that_no_retest_shows_are_named():
    made = learner("probe", (0, 1), (2, 3), (4, 5), (6, 7))
    retest = Retest(name="winter", classes=2, tasks=(2,), num_images=300, before=0.96, after=0.953)
    gone = "not measured: the images are gone (--retest FOLDER measures)"
    (_, second, third, _) = report(Path("shop"), made, record(4, ("moss",), retests=(retest,)), 0)[1]
    assert second.startswith("  winter, lesson 2, 300 images")
    assert third.split(maxsplit=4) == ["lessons", "1", "and", "3", gone]
    assert report(Path("shop"), made, record(4, ("moss",)), 0)[1][1].startswith("  lessons 1, 2 and 3")
    both = retest.model_copy(update={"tasks": (1, 2, 3)})
    assert not any(gone in line for line in report(Path("shop"), made, record(4, ("moss",), retests=(both,)), 0)[1])
    again = record(4, (), updated=("stripes 0", "stripes 1", "stripes 4"))
    assert report(Path("shop"), made, again, 0)[1][1].split(maxsplit=4) == ["lessons", "2", "and", "3", gone]
