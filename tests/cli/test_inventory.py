import pytest

from sdlora.cli import inventory
from sdlora.config.find import shipped_recipes
from sdlora.datasets import DATASETS
from sdlora.errors import DataError
from sdlora.methods import METHODS


def test_methods_tell_their_facts_and_options():
    rows = {row["name"]: row for row in inventory.methods()}
    assert list(rows) == METHODS.names()
    sdlora = rows["sdlora"]
    assert (sdlora["rehearsal_free"], sdlora["merges"], sdlora["source"]) == (True, True, "arXiv 2501.13198")
    about = "Rank of the first task's direction."
    assert {"name": "rank", "type": "integer", "default": "10", "about": about} in sdlora["options"]
    assert "demo/sdlora" in sdlora["recipes"]
    assert "demo/lora" not in sdlora["recipes"]


def test_every_option_of_every_method_is_explained():
    rows = inventory.methods()
    assert all(option["about"].endswith(".") for row in rows for option in row["options"])
    assert sum(len(row["options"]) for row in rows) > 40


def test_meanings_are_read_from_the_docstring():
    def call(*_):
        """Do it.

        Args:
            first: One: two.
            second: A meaning
                of two lines.

        Returns:
            third: Nothing of that kind.
        """

    assert inventory.meanings(call) == {"first": "One: two.", "second": "A meaning of two lines."}
    assert inventory.meanings(3) == {}


def test_recipes_tell_what_they_run():
    rows = {row["name"]: row for row in inventory.recipes()}
    assert list(rows) == list(shipped_recipes())
    assert rows["demo/lora"]["tasks"] == 5
    assert rows["glyphs100_10/joint"]["method"] == "joint"
    assert rows["paper/domainnet_5/finetune"]["dataset"] == "domainnet"
    assert all(row["about"] and not row["about"].startswith("#") for row in rows.values())


def test_datasets_that_wait_for_a_folder_say_which(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/cub200").mkdir(parents=True)
    rows = {row["name"]: row for row in inventory.datasets()}
    assert list(rows) == DATASETS.names()
    assert rows["cub200"]["state"] == "found in data/cub200"
    assert rows["imagenet_r"]["state"] == "waits for data/imagenet_r, or stream.root=FOLDER"
    assert rows["digits"]["state"] == "ready"
    assert all(row["about"] for row in rows.values())


@pytest.mark.parametrize("name", sorted(set(DATASETS) - set(inventory.MADE_HERE)))
def test_the_others_do_need_a_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        DATASETS.get(name)(None, 16)


@pytest.mark.parametrize("name", inventory.MADE_HERE)
def test_what_is_made_here_needs_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert DATASETS.get(name)(None, 16).classes


def test_backbones_are_ours_first():
    assert [row["name"] for row in inventory.backbones()][:2] == ["glyph_vit", "untrained_vit"]
