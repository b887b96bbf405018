import pytest

from sdlora.cli.training import figures, set_aside, summary
from sdlora.errors import BusyError, RunError
from sdlora.files import FolderLock


def make(folder, text="{}"):
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)


def test_nothing_to_set_aside(tmp_path):
    set_aside(tmp_path / "seed0")
    assert list(tmp_path.iterdir()) == []


def test_one_old_run_is_kept(tmp_path):
    for text in ("first", "second"):
        make(tmp_path / "seed0", text)
        set_aside(tmp_path / "seed0")
    assert [path.name for path in tmp_path.iterdir()] == ["seed0.old"]
    assert (tmp_path / "seed0.old/manifest.json").read_text() == "second"


@pytest.mark.parametrize("name", ["seed0", "seed0.old"])
def test_what_is_no_run_is_not_touched(tmp_path, name):
    make(tmp_path / "seed0")
    make(tmp_path / "seed0.old")
    (tmp_path / name / "manifest.json").unlink()
    (tmp_path / name / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="is no run folder"):
        set_aside(tmp_path / "seed0")
    assert (tmp_path / name / "thesis.tex").read_text() == "years of work"


def test_a_run_under_way_is_not_moved(tmp_path):
    make(tmp_path / "seed0")
    with FolderLock(tmp_path / "seed0"), pytest.raises(BusyError):
        set_aside(tmp_path / "seed0")
    assert (tmp_path / "seed0/manifest.json").exists()


def test_figures_of_no_one_and_two_runs():
    assert summary([])["acc_mean"] is None
    one = {"acc_mean": 0.916, "acc_std": None, "aaa_mean": None, "aaa_std": None, "forgetting_mean": 0.04}
    one |= {"forgetting_std": None, "runs": [{"status": "finished"}]}
    assert figures(one) == "Acc 91.6   AAA –   forgetting 4.0   (%, 1 seed)"
    two = one | {"acc_std": 0.007, "runs": 2 * [{"status": "finished"}]}
    assert figures(two) == "Acc 91.6 ± 0.7   AAA –   forgetting 4.0   (%, mean ± std, 2 seeds)"
