import pytest

from sdlora.cli.rehearsal import rehearse
from sdlora.config.build import build
from sdlora.config.load import load_recipe


@pytest.mark.parametrize("method", ["sdlora", "simplecil", "joint"])
def test_an_estimate_is_positive_and_leaves_nothing(method, workplace):
    text = (workplace / "tiny.toml").read_text()
    if method == "simplecil":
        text = text[: text.index("[optim]")] + "[optim]\nbatch_size = 8\n"
    (workplace / "tiny.toml").write_text(text.replace('name = "sdlora"\nrank = 2', f'name = "{method}"'))
    estimate = rehearse(build(load_recipe("tiny.toml")))
    assert estimate.seconds > 0
    assert estimate.test_images_per_second > 0
    assert (estimate.train_images_per_second is None) == (method == "simplecil")
    assert estimate.memory_bytes is None or estimate.memory_bytes > 10_000_000
    assert [path.name for path in workplace.iterdir()] == ["tiny.toml"]


def test_more_epochs_take_longer(workplace):
    short, long = (rehearse(build(load_recipe("tiny.toml", [f"optim.epochs={epochs}"]))) for epochs in (1, 1000))
    assert long.seconds > 20 * short.seconds
