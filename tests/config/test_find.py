import pytest

from sdlora.config.find import find_recipe, recipes_folder, shipped_recipes
from sdlora.errors import ConfigError


def test_by_name_and_by_path(tmp_path, monkeypatch):
    shipped = shipped_recipes()
    assert find_recipe("glyphs100_10/sdlora") == shipped["glyphs100_10/sdlora"]
    assert find_recipe(str(shipped["demo/lora"])) == shipped["demo/lora"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("")
    assert find_recipe("mine").read_text() == ""


def test_names_have_no_suffix_and_lie_in_the_folder():
    for name, path in shipped_recipes().items():
        assert path == recipes_folder() / f"{name}.toml"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("glyphs100_10/sdlroa", "Fix: sdlora train glyphs100_10/sdlora"),
        ("nowhere/mine.toml", "there is no file nowhere/mine.toml"),
        ("../pyproject", 'no recipe is called "../pyproject"'),
        (".", 'no recipe is called "."'),
    ],
)
def test_what_cannot_be_found(source, words):
    with pytest.raises(ConfigError) as error:
        find_recipe(source)
    assert words in str(error.value)


def test_an_installed_package_brings_its_own(tmp_path, monkeypatch):
    (tmp_path / "recipes/a").mkdir(parents=True)
    (tmp_path / "recipes/a/b.toml").write_text("")
    monkeypatch.setattr("sdlora.config.find.PACKAGE", tmp_path)
    assert shipped_recipes() == {"a/b": tmp_path / "recipes/a/b.toml"}
