"""The paper's figures beside ours, where protocol, backbone and weights are the same.

Source: arXiv 2501.13198, tables 2, 3 and 6: Acc and AAA in percent, mean of five seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdlora.metrics import aaa, acc
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.text import plural

_BACKBONE = "vit_base_patch16_224.augreg2_in21k_ft_in1k"  # what the released logs name

_TABLES: dict[tuple[str, int], dict[str, tuple[float, float]]] = {
    ("imagenet_r", 5): {
        "finetune": (64.92, 75.57), "l2p": (73.04, 76.94), "dualprompt": (69.99, 72.24), "coda_prompt": (76.63, 80.30),
        "hide_prompt": (74.77, 78.15), "inflora": (76.95, 81.81), "sdlora": (79.15, 83.01),
        "sdlora_rr": (79.01, 82.50), "sdlora_kd": (78.85, 82.47),
    },
    ("imagenet_r", 10): {
        "finetune": (60.57, 72.31), "l2p": (71.26, 76.13), "dualprompt": (68.22, 73.81), "coda_prompt": (74.05, 78.14),
        "hide_prompt": (74.65, 78.46), "inflora": (74.75, 80.67), "sdlora": (77.34, 82.04),
        "sdlora_rr": (77.18, 81.74), "sdlora_kd": (77.03, 81.52),
    },
    ("imagenet_r", 20): {
        "finetune": (49.95, 65.32), "l2p": (68.97, 74.16), "dualprompt": (65.23, 71.30), "coda_prompt": (69.38, 73.95),
        "hide_prompt": (73.59, 77.93), "inflora": (69.89, 76.68), "sdlora": (75.26, 80.22),
        "sdlora_rr": (74.05, 80.65), "sdlora_kd": (74.12, 80.11),
    },
    ("imagenet_a", 10): {
        "finetune": (16.31, 30.04), "l2p": (42.94, 51.40), "dualprompt": (45.49, 54.68), "coda_prompt": (45.36, 57.03),
        "hide_prompt": (42.70, 56.32), "inflora": (49.20, 60.92), "sdlora": (55.96, 64.95),
        "sdlora_rr": (55.59, 64.59), "sdlora_kd": (54.24, 63.89),
    },
    ("domainnet", 5): {
        "finetune": (51.46, 67.08), "l2p": (70.26, 75.83), "dualprompt": (68.26, 73.84), "coda_prompt": (70.58, 76.68),
        "hide_prompt": (72.20, 77.01), "inflora": (71.59, 78.29), "sdlora": (72.82, 78.89),
        "sdlora_rr": (72.58, 78.79), "sdlora_kd": (72.15, 78.44),
    },
    ("cifar100", 10): {
        "finetune": (69.49, 80.35), "coda_prompt": (86.31, 90.67), "inflora": (86.75, 91.72), "sdlora": (88.01, 92.54),
        "sdlora_rr": (87.26, 92.05), "sdlora_kd": (87.09, 92.01),
    },
    ("cub200", 10): {
        "finetune": (51.43, 69.74), "coda_prompt": (71.92, 78.76), "inflora": (70.82, 81.39), "sdlora": (77.48, 85.59),
        "sdlora_rr": (76.35, 83.89), "sdlora_kd": (75.95, 83.21),
    },
}  # fmt: skip


@dataclass(frozen=True)
class PaperRow:
    """Ours and theirs, as fractions.

    Attributes:
        label: The entry.
        acc: Ours.
        paper_acc: The paper's.
        aaa: Ours, None where it is not defined.
        paper_aaa: The paper's.
    """

    label: str
    acc: float
    paper_acc: float
    aaa: float | None
    paper_aaa: float


@dataclass(frozen=True)
class BesidePaper:
    """Rows that may be compared, or the reason why there are none."""

    rows: tuple[PaperRow, ...]
    reason: str


def beside_paper(comparison: Comparison) -> BesidePaper:
    """Set every entry that the paper has a figure for beside that figure."""
    datasets = {run.dataset for run in comparison.runs}
    dataset = datasets.pop() if len(datasets) == 1 else comparison.stream
    num_tasks = len(comparison.task_sizes)
    table = _TABLES.get((dataset, num_tasks))
    if table is None:
        return BesidePaper((), f"The paper has no figures for {dataset} in {plural(num_tasks, 'task')}.")
    if comparison.backbone.name != _BACKBONE:
        what = f"These runs start from {comparison.backbone.name}, the paper's from {_BACKBONE}."
        return BesidePaper((), f"{what} Figures of different backbones say nothing about a method.")
    rows = [_row(entry, *table[name]) for entry in comparison.ranked if (name := _paper_name(entry)) in table]
    return BesidePaper(tuple(rows), "" if rows else "The paper has no figure for these methods on this stream.")


def _row(entry: Entry, paper_acc: float, paper_aaa: float) -> PaperRow:
    return PaperRow(entry.label, entry.mean(acc), paper_acc / 100, entry.mean_std(aaa)[0], paper_aaa / 100)


def _paper_name(entry: Entry) -> str:
    """Return the paper's variant that an entry trains; SD-LoRA's variants are options of one method."""
    settings = entry.runs[0].settings
    if entry.method != "sdlora":
        return entry.method
    if settings.get("method.distill_threshold"):
        return "sdlora_kd"
    return "sdlora_rr" if settings.get("method.rank_schedule") else "sdlora"
