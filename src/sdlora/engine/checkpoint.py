"""Checkpoints in a format of our own: JSON and safetensors, numbered folders that appear whole, two of them kept.

    checkpoint/000007/state.json            where the run is and what it has measured
                      tensors.safetensors   what the method learned, optimiser, sums of the epoch under way
                      metrics.jsonl         the metric log up to here
                      manifest.json         size and sha256 of these, written last

The newest valid one counts. A damaged one is named; if all are, the run is refused rather than begun again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdlora.engine.progress import Progress
from sdlora.errors import NumericalError, RunError, StorageError
from sdlora.files import (
    json_bytes,
    make_folder,
    parse_tensors,
    read_folder,
    remove_folder,
    sweep,
    tensor_bytes,
    write_folder,
)
from sdlora.methods.base import Method

KEPT = 2
FORMAT = 1
LARGEST = 1e4  # no weight of a trained vision transformer comes near; beyond it training has diverged


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment.

    Attributes:
        state: JSON: position, matrix, times, and the description of the run.
        tensors: By name; the first part of a name says whose they are.
        metrics: The metric log.
    """

    state: dict[str, Any]
    tensors: dict[str, Tensor]
    metrics: bytes

    @property
    def progress(self) -> Progress:
        """Where the run is."""
        return Progress.from_json(self.state["progress"], self.part("sums"))

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors called ``"<prefix>.<name>"`` by name."""
        start = f"{prefix}."
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}


class Checkpoints:
    """The checkpoints of one run; only the holder of the run folder's lock may write.

    Args:
        folder: Holds them and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._damaged: set[int] = set()

    def save(self, checkpoint: Checkpoint) -> None:
        """Add a checkpoint, read it back, and only then remove all but the two newest valid ones.

        Raises:
            StorageError: If it cannot be written; the older ones stay.
        """
        make_folder(self.folder)
        sweep(self.folder)
        number = max(self._numbers(), default=-1) + 1
        files = {
            "state.json": json_bytes({"format": FORMAT, **checkpoint.state}),
            "tensors.safetensors": tensor_bytes(checkpoint.tensors),
            "metrics.jsonl": checkpoint.metrics,
        }
        write_folder(self._path(number), files)
        try:
            read_folder(self._path(number))
        except ValueError as error:
            raise StorageError(f"a checkpoint does not read back as it was written: {error}") from error
        kept = [n for n in self._numbers() if n not in self._damaged][-KEPT:]
        for old in set(self._numbers()) - set(kept):
            remove_folder(self._path(old))

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest valid checkpoint, or None where there never was one; and what was wrong with newer ones.

        Raises:
            RunError: If there are checkpoints and none is valid, or a newer sdlora wrote them.
        """
        problems: list[str] = []
        for number in reversed(self._numbers()):
            try:
                return self._read(number), problems
            except ValueError as error:
                problems.append(str(error))
                self._damaged.add(number)
        if problems:
            raise RunError(
                "no checkpoint of this run is usable: " + "; ".join(problems),
                fix="restore one, or --fresh to begin anew",
            )
        return None, []

    def _read(self, number: int) -> Checkpoint:
        path = self._path(number)
        files = read_folder(path)
        try:
            state = json.loads(files["state.json"])
            if state["format"] > FORMAT:
                raise RunError(f"{path} has format {state['format']}", expected=f"at most {FORMAT}")
            return Checkpoint(state, parse_tensors(files["tensors.safetensors"]), files["metrics.jsonl"])
        except KeyError as error:
            raise ValueError(f"{path / 'manifest.json'} does not list {error}") from error

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}"


def stored_state(method: Method) -> dict[str, Tensor]:
    """Return all of a method's state except the frozen pretrained weights, which the backbone's digest stands for.

    A parameter in the backbone without a single number was not pretrained: it is a pair that was dropped.
    """
    pretrained = {
        name
        for name, parameter in method.named_parameters(remove_duplicate=False)
        if name.startswith("backbone.") and not parameter.requires_grad and parameter.numel()
    }
    return {name: value for name, value in method.state_dict().items() if name not in pretrained}


def load_state(method: Method, tensors: Mapping[str, Tensor]) -> None:
    """Put stored state into a method for which ``begin_task`` has been replayed.

    Where a direction was dropped, the method takes over the shapes of what is stored.

    Raises:
        RunError: If a name, shape or dtype is not what the method expects; nothing was changed.
    """
    there = stored_state(method)
    problems = [f"{name} is missing" for name in there.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - there.keys()]
    pairs = {name: (there[name], tensors[name]) for name in there.keys() & tensors.keys()}
    differing = [name for name, (old, new) in pairs.items() if old.shape != new.shape or old.dtype != new.dtype]
    if any(pairs[name][0].dtype != pairs[name][1].dtype for name in differing) or not _adopts(
        method, tensors, differing
    ):
        problems += [
            f"{name} is {new.dtype} {tuple(new.shape)}, not {old.dtype} {tuple(old.shape)}"
            for name, (old, new) in pairs.items()
            if name in differing
        ]
    if problems:
        raise RunError("the checkpoint does not fit the method: " + "; ".join(sorted(problems)[:5]))
    method.load_state_dict(dict(tensors), strict=False)  # what is missing is pretrained


def _adopts(method: Method, tensors: Mapping[str, Tensor], differing: list[str]) -> bool:
    """Whether a method takes tensors of other shapes than its own; tried on a copy."""
    if not differing:
        return True
    try:
        copy.deepcopy(method).load_state_dict(dict(tensors), strict=False)
    except RuntimeError:
        return False
    return True


def check_weights(method: Method) -> None:
    """Refuse weights that are not finite, or learned ones beyond `LARGEST`; waits for the device once.

    Raises:
        NumericalError: Naming the first such tensor and its largest magnitude.
    """
    learned = {name for name, _ in method.named_parameters()}
    floats = {n: v for n, v in stored_state(method).items() if v.is_floating_point() and v.numel()}
    if not floats:
        return
    largest = torch.stack([value.detach().abs().max().float() for value in floats.values()]).tolist()
    for name, value in zip(floats, largest, strict=True):
        if not value <= (LARGEST if name in learned else torch.finfo(torch.float32).max):  # NaN is refused too
            raise NumericalError(
                f"training has diverged: {name} has reached {value:.3g}",
                expected=f"finite weights, learned ones up to {LARGEST:g}",
                fix="lower optim.lr; the last checkpoint is from before",
            )
