import pytest
from made_up_runs import MadeUp

from sdlora.methods import METHODS
from sdlora.reports.comparison import compare
from sdlora.reports.paper import _TABLES, beside_paper
from sdlora.reports.runs import load_runs

VIT = "vit_base_patch16_224.augreg2_in21k_ft_in1k"


def beside(made):
    (comparison,) = compare(load_runs([made.root]))
    return beside_paper(comparison)


@pytest.fixture
def cifar(tmp_path):
    return MadeUp(tmp_path, stream="cifar100_10", task_sizes=(10,) * 10, backbone=VIT)


def test_ours_and_theirs(cifar):
    rows = [[80] * (i + 1) for i in range(10)]
    cifar.add("sdlora", 0, hits=rows)
    cifar.add("sdlora", 0, name="rr", hits=rows, rank_schedule="paper")
    cifar.add("sdlora", 0, name="kd", hits=rows, distill_threshold=9e-4)
    cifar.add("simplecil", 0, hits=rows)
    found = beside(cifar)
    assert {row.label: (round(row.paper_acc, 6), round(row.paper_aaa, 6)) for row in found.rows} == {
        "sdlora": (0.8801, 0.9254),
        "sdlora (rank_schedule=paper)": (0.8726, 0.9205),
        "sdlora (distill_threshold=0.0009)": (0.8709, 0.9201),
    }
    assert {(row.acc, row.aaa) for row in found.rows} == {(0.8, 0.8)}


def test_another_backbone_is_no_comparison(cifar):
    cifar.backbone = "vit_tiny_patch16_224.augreg_in21k"
    cifar.add("sdlora", 0)
    assert beside(cifar).rows == ()
    assert "start from vit_tiny_patch16_224.augreg_in21k, the paper's from" in beside(cifar).reason


def test_another_stream_is_no_comparison(small):
    small.add("sdlora", 0)
    assert beside(small).reason == "The paper has no figures for small in 2 tasks."


def test_methods_the_paper_does_not_have(cifar):
    cifar.add("simplecil", 0)
    assert beside(cifar).reason == "The paper has no figure for these methods on this stream."


def test_the_tables_hold_real_methods_and_percentages():
    names = {name for table in _TABLES.values() for name in table}
    assert names - {"sdlora_rr", "sdlora_kd"} <= set(METHODS)
    values = [pair for table in _TABLES.values() for pair in table.values()]
    assert len(values) == 5 * 9 + 2 * 6
    assert all(10 < acc < aaa < 95 for acc, aaa in values)
