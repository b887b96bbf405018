from pathlib import Path

from bundles import record
from lessons import learner

from sdlora.bundle import Retest, Weakest
from sdlora.cli.console import Console
from sdlora.cli.lesson import LessonProgress, counted, report
from sdlora.learner import LessonPlan


def test_counts():
    assert [counted(n, "class", "classes") for n in (0, 1, 1200)] == ["0 classes", "1 class", "1,200 classes"]


def test_a_plan_is_told_with_what_was_left_out(capsys):
    plan = LessonPlan(2, ("a",), ("b", "c"), 1200, 30, ("x\x1b.png", "y", "z", "w"), ("left out: hidden files 2",))
    LessonProgress(Console(), Path("shop"), learner("probe", (0, 1))).on_plan(plan)
    assert capsys.readouterr().err.splitlines() == [
        "Lesson 2 for shop: 1 new class, 2 known classes again, 1,200 images (30 held out), probe, cpu.",
        r"  skipped 4 unreadable files (x\x1b.png, y, z, ...)",
        "  left out: hidden files 2",
    ]


def test_a_report_for_people_and_for_programs():
    made = learner("probe", (0, 1), (2, 3))
    weakest = Weakest(label="moss", accuracy=0.79, taken_for="fern")
    retest = Retest(name="winter", classes=2, num_images=300, before=0.96, after=0.953)
    document, lines = report(Path("shop"), made, record(2, ("moss",), weakest=weakest, retests=(retest,)), 1_600_000)
    assert lines[0].endswith("75.0 %   weakest: moss 79 % (taken for fern)")
    assert lines[1].split("  ", 2)[1:] == ["winter, 300 images", lines[1].split("  ", 2)[2]]
    assert lines[1].endswith("96.0 % -> 95.3 %")
    assert lines[2] == "Saved shop: 4 classes in 2 lessons, +1.6 MB. Undo: sdlora learn shop --undo"
    assert document["retests"] == [{"path": "winter", "num_images": 300, "before": 0.96, "after": 0.953}]
    nothing, lines = report(Path("shop"), learner("probe", (0, 1)), record(1, ("a", "b"), held_out_accuracy=None), 0)
    assert "not measured: too few to hold any out" in lines[0]
    assert document.keys() == nothing.keys()
