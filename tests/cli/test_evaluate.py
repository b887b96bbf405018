import json
import shutil
from pathlib import Path

import pytest
from shops import AUTUMN, SPRING, write_pictures

from sdlora.bundle import read_config
from sdlora.cli.evaluate import put_on_record
from sdlora.errors import BusyError
from sdlora.learner import Learner
from sdlora.learner.data import opened


@pytest.fixture
def muddled(shop):
    """Put a rose among the daisies and two daisies among the pines of test/."""
    shutil.copy("test/rose/50.png", "test/daisy/99.png")
    for n in (50, 51):
        shutil.copy(f"test/daisy/{n}.png", f"test/pine/9{n}.png")
    return shop


def test_in_all_by_lesson_hardest_and_confused(sdlora, muddled):
    answer = sdlora("evaluate", "shop", "test")
    assert answer.code == 0
    assert [line.split() for line in answer.out.splitlines()] == [
        ["shop", "on", "test:", "23", "images,", "all", "5", "classes", "present"],
        ["all", "87.0", "%", "mean", "over", "lessons", "86.2", "%"],
        ["lesson", "1", "92.3", "%", "3", "classes", "13", "images"],
        ["lesson", "2", "80.0", "%", "2", "classes", "10", "images"],
        ["hardest", "pine", "66.7", "%", "daisy", "80.0", "%"],
        ["confused", "pine", "->", "daisy", "2", "daisy", "->", "rose", "1"],
    ]
    assert answer.err == ""


def test_json_has_every_key(sdlora, muddled):
    answer = sdlora("evaluate", "shop", "test", "--json")
    document = answer.json
    assert list(document) == [
        "accuracy", "accuracy_task_mean", "num_images", "tasks", "classes", "confusions", "missing", "unknown",
    ]  # fmt: skip
    assert document["accuracy"] == pytest.approx(20 / 23)
    assert document["tasks"][1] == {"task": 2, "accuracy": 0.8, "num_classes": 2, "num_images": 10}
    assert document["classes"][0] == {"label": "daisy", "task": 1, "accuracy": 0.8, "num_images": 5}
    assert document["confusions"][0] == {"true": "pine", "predicted": "daisy", "count": 2}
    assert document["missing"] == document["unknown"] == []


def test_it_says_what_python_says(sdlora, muddled):
    said = json.loads(json.dumps(Learner.load("shop").evaluate("test").to_dict()))
    assert sdlora("evaluate", "shop", "test", "--json").json == said


def test_classes_without_an_image_are_missing(sdlora, shop):
    shutil.rmtree("test/pine")
    shutil.rmtree("test/fir")
    answer = sdlora("evaluate", "shop", "test")
    assert "12 images, 3 of 5 classes present" in answer.out
    assert "lesson 2" not in answer.out
    assert sdlora("evaluate", "shop", "test", "--json").json["missing"] == list(AUTUMN)


def test_a_part_called_test_counts(sdlora, shop):
    Path("data").mkdir()
    shutil.move("test", "data/test")
    write_pictures(Path("data/train"), dict.fromkeys((*SPRING, *AUTUMN), 5))
    assert sdlora("evaluate", "shop", "data", "--json").json["num_images"] == 20


def test_a_table_of_paths(sdlora, shop):
    Path("list.csv").write_text("path,label\ntest/rose/50.png,rose\ntest/fir/50.png,pine\n")
    document = sdlora("evaluate", "shop", "list.csv", "--json").json
    assert document["accuracy"] == 0.5
    assert document["confusions"] == [{"true": "pine", "predicted": "fir", "count": 1}]


def test_unknown_classes_are_refused_or_left_out(sdlora, shop):
    write_pictures(Path("test"), {"orchid": 3})
    answer = sdlora("evaluate", "shop", "test")
    assert answer.code == 2
    assert answer.err == (
        "Error: test has 1 class that shop was never taught: orchid\n"
        "Fix: --ignore-unknown, or teach it: sdlora learn shop FOLDER\n"
    )
    ignored = sdlora("evaluate", "shop", "test", "--ignore-unknown", "--json")
    assert ignored.code == 0
    assert ignored.json["unknown"] == ["orchid"]
    assert ignored.json["num_images"] == 20
    assert "left out     orchid: never taught" in sdlora("evaluate", "shop", "test", "--ignore-unknown").out


def test_data_of_unknown_classes_alone(sdlora, shop):
    write_pictures(Path("new"), {"orchid": 3})
    answer = sdlora("evaluate", "shop", "new", "--ignore-unknown")
    assert answer.code == 2
    assert "new has no class that shop was taught: orchid" in answer.err


def test_a_difference_in_case_is_reported_not_guessed(sdlora, shop):
    Path("test/rose").rename("test/Rose")
    answer = sdlora("evaluate", "shop", "test", "--ignore-unknown")
    assert answer.code == 2
    assert 'test/Rose differs from the class "rose" in case only' in answer.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["shop", "test/rose"], 2, "test/rose has images but no class folders"),
        (["shop", "gone"], 2, "gone does not exist"),
        (["shop", "empty"], 2, "no class with an image in empty"),
        (["test", "test"], 3, "test"),
        (["shop", "test", "--out", "shop/README.md"], 2, "shop/README.md was not written by sdlora"),
    ],
)
def test_mistakes_of_the_user(words, code, message, sdlora, shop):
    Path("empty").mkdir()
    answer = sdlora("evaluate", *words)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err.splitlines()[0]


def test_unreadable_files_are_skipped_and_named(sdlora, shop):
    for n in range(5):
        Path(f"test/rose/bad{n}.png").write_bytes(b"hello")
    answer = sdlora("evaluate", "shop", "test")
    assert answer.code == 0
    assert "Warning: skipped rose/bad0.png, rose/bad1.png, rose/bad2.png and 2 more: not readable" in answer.err
    assert "20 images" in answer.out


def test_the_page_of_mistakes(sdlora, muddled):
    answer = sdlora("evaluate", "shop", "test", "--out", "mistakes.html")
    assert answer.code == 0
    assert answer.err == "Mistakes: mistakes.html\n"
    page = Path("mistakes.html").read_text()
    assert "3 of 23 images are taken for something else." in page
    assert page.count("<figure>") == 3
    assert "test through shop" in page


def test_nothing_is_written_without_being_asked(sdlora, shop):
    before = sorted(path for path in shop.rglob("*") if path.is_file())
    sdlora("evaluate", "shop", "test")
    sdlora("predict", "shop", "test")
    assert sorted(path for path in shop.rglob("*") if path.is_file()) == before


def test_hostile_class_names(sdlora, shop):
    names = ["<img src=x onerror=alert(1)>", "=cmd", "{{7*7}}", "[red]x[/red]".replace("/", "")]
    write_pictures(Path("test"), {"orchid": 1})
    for name in names:
        shutil.copytree("test/orchid", f"test/{name}")
    answer = sdlora("evaluate", "shop", "test", "--ignore-unknown", "--out", "m.html", "--json")
    assert answer.code == 0
    assert set(names) < set(answer.json["unknown"])
    assert "onerror" not in Path("m.html").read_text()


def test_what_was_measured_goes_on_record(sdlora, muddled):
    version = Learner.load("shop").model_version
    answer = sdlora("evaluate", "shop", "test", "--record", "--json")
    assert answer.code == 0
    assert answer.err == "Recorded in shop/README.md\n"
    (found,) = read_config(Path("shop")).measured
    assert (found.name, found.num_images) == ("test", 23)
    assert found.accuracy == answer.json["accuracy"]
    assert [(part.task, part.num_images, part.accuracy) for part in found.tasks] == [
        (part["task"], part["num_images"], part["accuracy"]) for part in answer.json["tasks"]
    ]
    card = Path("shop/README.md").read_text()
    assert f"| test (sha256 {found.sha256[:8]}) | 23 | 87.0 % | {found.date} | lesson 2 |" in card
    assert "not measured" not in card.partition("## Not known")[2]
    after = Learner.load("shop").model_version
    assert after.split("-")[1] == version.split("-")[1]
    assert sdlora("predict", "shop", "test/rose").code == 0


def test_a_record_of_the_same_data_is_replaced_and_others_stay(sdlora, shop):
    shutil.copytree("test", "other")
    sdlora("evaluate", "shop", "test", "--record")
    first = read_config(Path("shop")).measured[0]
    sdlora("evaluate", "shop", "other", "--record")
    shutil.rmtree("test/pine")
    sdlora("evaluate", "shop", "test", "--record")
    other, test = read_config(Path("shop")).measured
    assert (other.name, test.name) == ("other", "test")
    assert other.sha256 == first.sha256 != test.sha256
    assert test.num_images == 16


def test_the_next_lesson_makes_a_record_history(sdlora, shop):
    sdlora("evaluate", "shop", "test", "--record")
    write_pictures(Path("more"), {"orchid": 5})
    learner = Learner.load("shop")
    learner.learn("more")
    learner.save("shop")
    assert read_config(Path("shop")).measured == ()
    assert "lesson 1: its accuracy after lesson 3 was not measured" in Path("shop/README.md").read_text()
    assert sdlora("learn", "shop", "--undo").code == 0
    assert [found.name for found in read_config(Path("shop")).measured] == ["test"]


def test_a_model_that_changed_meanwhile_gets_no_record(shop):
    write_pictures(Path("more"), {"orchid": 5})
    measured = Learner.load("shop")
    learner = Learner.load("shop")
    learner.learn("more")
    learner.save("shop")
    with opened("test", 32) as images, pytest.raises(BusyError):
        put_on_record(Path("shop"), measured.model_version, images, measured.evaluate(images))
    assert read_config(Path("shop")).measured == ()


def test_a_hostile_folder_name_on_record(sdlora, shop):
    name = "<img src=x onerror=alert(1)>|\x1b[31m"
    Path("test").rename(name)
    assert sdlora("evaluate", "shop", name, "--record").code == 0
    card = Path("shop/README.md").read_text()
    assert "<img" not in card
    assert "\x1b" not in card
    assert sdlora("inspect", "shop").code == 0
