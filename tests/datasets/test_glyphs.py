import unicodedata

import numpy as np
import pytest

from sdlora.datasets.glyphs import FACES, HELD_OUT_SCRIPTS, INK, MASTER, characters, draw_masters, font_file, script_of


def test_the_faces_are_installed():
    assert len(FACES) == 12
    assert all(font_file(face).exists() for face in FACES)


@pytest.mark.parametrize(
    ("character", "script"),
    [("a", "other"), ("α", "greek"), ("µ", "greek"), ("ж", "cyrillic"), ("Ա", "armenian"), ("ა", "georgian")]
    + [(digit, "digit") for digit in "07٣²½①"]
    + [("→", "other"), ("é", "other")],
)
def test_scripts(character, script):
    assert script_of(character) == script


def test_pretraining_never_sees_what_is_held_out():
    lists = characters()
    assert set(lists) == {"other", *HELD_OUT_SCRIPTS}
    for script, chars in lists.items():
        assert {script_of(char) for char in chars} == {script}
        assert len(set(chars)) == len(chars)
    assert len(lists["other"]) > 1400
    assert sum(len(lists[script]) for script in HELD_OUT_SCRIPTS) > 400
    assert not any(unicodedata.category(char) in ("Nd", "No", "Nl") for chars in lists.values() for char in chars)


def test_a_master_is_centred_and_fills_its_frame():
    masters = draw_masters(("A", "—", "l"), FACES[:2])
    assert masters.shape == (3, 2, MASTER, MASTER)
    assert masters.dtype == np.uint8
    for master in masters.reshape(-1, MASTER, MASTER):
        rows, columns = np.flatnonzero(master.any(1)), np.flatnonzero(master.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert INK - 1 <= max(height, width) <= INK
        assert abs(rows[0] + rows[-1] - (MASTER - 1)) <= 1
        assert abs(columns[0] + columns[-1] - (MASTER - 1)) <= 1


def test_blank_characters_draw_nothing():
    assert not draw_masters((" ",), FACES[:1]).any()


def test_no_two_classes_look_the_same():
    """The smallest distance between any two of 100 random characters of all lists, in the upright sans face."""
    everything = [char for chars in characters().values() for char in chars]
    chosen = tuple(np.random.default_rng(0).permutation(np.array(everything))[:100].tolist())
    masters = draw_masters(chosen, FACES[:1]).reshape(100, -1).astype(np.float64)
    unit = masters / np.linalg.norm(masters, axis=1, keepdims=True)
    similarity = unit @ unit.T - 2 * np.eye(100)
    assert similarity.max() < 0.985
