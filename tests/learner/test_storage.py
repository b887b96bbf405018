import pytest
from lessons import Stripes, learner

from sdlora.errors import BundleError
from sdlora.learner.storage import check_target, version_of


def test_a_place_for_the_next_lesson(tmp_path):
    first, other = learner("probe", (0, 1)), learner("probe", (2, 3))
    first.save(tmp_path / "m")
    check_target(tmp_path / "new", ())
    check_target(tmp_path / "new", first.history)
    check_target(tmp_path / "m", first.history)
    check_target(tmp_path / "m", learner("probe", (0, 1), (4, 5)).history)
    for history in ((), other.history):
        with pytest.raises(BundleError, match=r"holds different lessons \(1 of 1 differ\)"):
            check_target(tmp_path / "m", history)
    (tmp_path / "photos").mkdir()
    check_target(tmp_path / "photos", ())
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"holds a\.png and is no bundle"):
        check_target(tmp_path / "photos", first.history)


def test_what_may_be_taught_there_can_be_saved_there(tmp_path):
    made = learner("probe", (0, 1))
    made.save(tmp_path / "m")
    check_target(tmp_path / "m", made.history)
    made.learn(Stripes((2, 3)), epochs=1)
    made.save(tmp_path / "m")


def test_versions(tmp_path):
    made = learner("probe", (0, 1))
    assert version_of(learner("probe")._state, None) == "0"
    unsaved = made.model_version
    made.save(tmp_path / "m")
    assert made.model_version == made._origin.version
    assert unsaved.split("-")[0] == "1"
    made.learn(Stripes((2, 3)), epochs=1)
    assert made.model_version == f"2-{made.history[-1].weights[:4]}"
