import base64
import io
import re

import numpy as np
import pytest
from pictures import photo
from PIL import Image

from sdlora.errors import ConfigError
from sdlora.predictions import make_evaluation
from sdlora.reports.mistakes import SHOWN, SIDE, Worst, check_free, data_url, write_mistakes

CLASSES = ("daisy", "rose", "fir")


def evaluation(pairs):
    labels, said = np.array(pairs).T
    return make_evaluation(labels, said, CLASSES, (1, 1, 2))


def shares(*values):
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(("size", "kind"), [((28, 28), "png"), ((300, 400), "jpeg"), ((96, 96), "png")])
def test_a_picture_is_small_and_inside_the_page(size, kind):
    url = data_url(photo(*size))
    found = re.fullmatch(rf"data:image/{kind};base64,([A-Za-z0-9+/=]+)", url)
    image = Image.open(io.BytesIO(base64.b64decode(found[1])))
    assert max(image.size) == min(max(size), SIDE)
    assert image.width / image.height == pytest.approx(size[1] / size[0], rel=0.02)


def test_the_surest_mistakes_are_kept_in_order():
    worst = Worst(CLASSES)
    certainties = np.random.default_rng(0).permutation(np.linspace(0.4, 0.99, 200))
    for certainty in certainties:
        worst.add(0, shares(1 - certainty, certainty, 0), photo(8, 8))
    kept = worst.mistakes()
    expected = np.sort(certainties.astype(np.float32))[::-1][:SHOWN]
    assert [mistake.probability for mistake in kept] == expected.tolist()
    assert {(mistake.true, mistake.said) for mistake in kept} == {("daisy", "rose")}
    assert kept[0].true_probability == pytest.approx(0.01, abs=1e-6)


def test_equally_sure_mistakes_stay_in_the_order_they_came():
    worst = Worst(CLASSES)
    for true in (0, 2, 0, 2):
        worst.add(true, shares(0, 1, 0), photo(8, 8))
    assert [mistake.true for mistake in worst.mistakes()] == ["daisy", "fir", "daisy", "fir"]


@pytest.fixture
def page(tmp_path):
    worst = Worst(CLASSES)
    worst.add(0, shares(0.1, 0.7, 0.2), photo(28, 28))
    worst.add(2, shares(0.0, 0.9, 0.1), photo(28, 28, 1))
    found = evaluation([(0, 1), (2, 1), (1, 1)])
    path = write_mistakes(worst.mistakes(), found, tmp_path / "mistakes.html", title="test through shop")
    return path.read_text(encoding="utf-8")


def test_the_page_says_how_many_and_shows_them(page):
    assert "2 of 3 images are taken for something else." in page
    assert re.findall(r'alt="([^"]*)"', page) == ["fir, taken for rose", "daisy, taken for rose"]
    assert page.count("data:image/png;base64,") == 2
    assert "33.3" in page
    assert "All of them, the surest first" in page


def test_the_page_asks_nothing_of_any_network(page):
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)(?:https?:|//|/)", page)
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_a_model_without_mistakes(tmp_path):
    path = write_mistakes([], evaluation([(0, 0)]), tmp_path / "mistakes.html", title="x")
    assert "0 of 1 images are taken for something else." in path.read_text()
    assert "<img" not in path.read_text()


def test_more_than_are_shown(tmp_path):
    worst = Worst(CLASSES)
    for _ in range(SHOWN + 5):
        worst.add(0, shares(0, 1, 0), photo(8, 8))
    found = evaluation([(0, 1)] * (SHOWN + 5))
    page = write_mistakes(worst.mistakes(), found, tmp_path / "mistakes.html", title="x").read_text()
    assert page.count("<figure>") == SHOWN
    assert f"The {SHOWN} that the model is surest of" in page


def test_a_page_of_ours_is_replaced_and_another_is_not(tmp_path):
    path = tmp_path / "mistakes.html"
    write_mistakes([], evaluation([(0, 0)]), path, title="first")
    write_mistakes([], evaluation([(0, 0)]), path, title="second")
    assert "second" in path.read_text()
    path.write_text("<html>my homepage</html>")
    with pytest.raises(ConfigError, match=r"mistakes\.html was not written by sdlora"):
        write_mistakes([], evaluation([(0, 0)]), path, title="third")
    with pytest.raises(ConfigError, match="was not written by sdlora"):
        write_mistakes([], evaluation([(0, 0)]), tmp_path, title="a folder")


def test_where_no_folder_is_no_page_can_be(tmp_path):
    with pytest.raises(ConfigError, match="gone is no folder") as caught:
        check_free(tmp_path / "gone" / "mistakes.html")
    assert caught.value.fix == f"mkdir -p {tmp_path}/gone"


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '" onerror="alert(1)',
        "'><img src=x>",
        "{{7*7}}",
        "&lt;b&gt;",
        "\x1b[31m\u202e",
        "</style>",
    ],
)
def test_names_are_text(name, tmp_path):
    worst = Worst((name, "rose", "fir"))
    worst.add(0, shares(0, 1, 0), photo(8, 8))
    labels, said = np.array([0]), np.array([1])
    found = make_evaluation(labels, said, (name, "rose", "fir"), (1, 1, 1))
    plain = re.sub(r"\s+", " ", write_mistakes([], found, tmp_path / "a.html", title="x").read_text())
    page = write_mistakes(worst.mistakes(), found, tmp_path / "b.html", title=name).read_text()
    tags = re.findall(r"<(/?[a-z0-9]+)", page)
    assert set(tags) == set(re.findall(r"<(/?[a-z0-9]+)", plain)) | {
        "section", "/section", "div", "/div", "figure", "/figure", "img", "figcaption", "/figcaption", "br", "b", "/b",
        "table", "/table", "thead", "/thead", "tbody", "/tbody", "tr", "/tr", "th", "/th", "td", "/td", "h2", "/h2",
    }  # fmt: skip
    assert page.count("<img") == 1
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert " onerror=" not in page.replace("&#34; onerror=", "")
