"""A model that goes on learning new classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sdlora.backbones.vit import Backbone
from sdlora.bundle import TaskRecord
from sdlora.engine import Observer
from sdlora.methods import Method


class Learner:
    """A classifier that is taught lesson after lesson; it keeps no image, and never needs to know how many will come.

    Args:
        backbone: Name as in ``sdlora list backbones``, a `Backbone`, or None for the shipped one.
        method: Name as in ``sdlora list methods``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:<n>"`` or ``"mps"``.
        seed: What all randomness is a function of.
        method_options: Arguments of the method's constructor.

    Attributes:
        method: What has learned; in evaluation mode.
        backbone: What it adapts.
        history: The lessons, in order.

    Raises:
        ConfigError: If a name or an option is wrong.
    """

    method: Method
    history: tuple[TaskRecord, ...]

    def __init__(
        self,
        backbone: str | Backbone | None = None,
        *,
        method: str = "sdlora",
        device: str = "auto",
        seed: int = 0,
        **method_options: Any,
    ) -> None:
        raise NotImplementedError

    @property
    def backbone(self) -> Backbone:
        """The pretrained model; what was learned may sit in it as adapters."""
        return self.method.backbone

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs; a lesson only ever appends to it."""
        raise NotImplementedError

    @property
    def num_seen(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def num_tasks(self) -> int:
        """Number of lessons."""
        return len(self.history)

    @property
    def image_size(self) -> int:
        """Side of the square that the model sees, pixels."""
        return self.backbone.image_size

    @property
    def model_version(self) -> str:
        """Generation and four digits of the weights' sha256, such as ``"3-7d1e"``; ``"0"`` before the first lesson."""
        raise NotImplementedError

    def learn(  # noqa: PLR0913  each is a choice of its own, and none is needed
        self,
        data: Any,
        *,
        epochs: int | None = None,
        time_limit: float | None = None,
        holdout: float = 0.2,
        retest: Sequence[Any] = (),
        update: bool = False,
        skip_known: bool = False,
        skip_unreadable: bool = False,
        progress: Observer | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> TaskRecord:
        """Teach new classes; all or nothing: after any exception the learner answers as before.

        Args:
            data: A folder of class folders, a CSV file of paths and labels, or a torch Dataset with ``.classes``.
            epochs: Passes over the images; None for a number that suits their count.
            time_limit: Seconds for everything; epochs are cut to fit.
            holdout: Share of each class that is not learned but measures the lesson.
            retest: Folders (or other data) of earlier classes, measured before and after.
            update: Also teach known classes again.
            skip_known: Leave known classes out.
            skip_unreadable: Leave unreadable files out; else they end the lesson before it begins.
            progress: Hears of every step.
            should_stop: Asked after every step; if it says yes, KeyboardInterrupt is raised.

        Raises:
            DataError: If the data are not what they must be.
            ConfigError: If an argument is wrong.
            NumericalError: If training diverges.
            KeyboardInterrupt: If it was interrupted.
        """
        raise NotImplementedError

    def preprocess(self, image: Any) -> NDArray[np.uint8]:
        """Return one image as the model sees it at test: (image_size, image_size, 3).

        Args:
            image: Path, bytes, PIL image, array (H, W, 3) of uint8, or tensor (3, H, W), uint8 or float in 0..1.

        Raises:
            DataError: If it is none, or cannot be read.
        """
        raise NotImplementedError

    def probabilities(self, batch: Tensor) -> NDArray[np.float32]:
        """Return the softmax over all classes of preprocessed images; safe to call from several threads.

        Args:
            batch: (N, image_size, image_size, 3), uint8, on the CPU.

        Returns:
            (N, num_seen), columns in the order of `classes`.

        Raises:
            NotTaughtError: Before the first lesson.
        """
        raise NotImplementedError

    def predict(self, images: Any, *, top_k: int = 3, threshold: float = 0.5, batch_size: int | None = None) -> Any:
        """Return a `Prediction` for one image, a list of them for a list, an iterator or a folder."""
        raise NotImplementedError

    def predict_proba(self, images: Any, *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Return probabilities (N, num_seen), columns in the order of `classes`; one image is N = 1."""
        raise NotImplementedError

    def evaluate(self, data: Any, *, ignore_unknown: bool = False) -> Any:
        """Return an `Evaluation` on a folder of class folders, or anything else that `learn` takes."""
        raise NotImplementedError

    def rename(self, names: Mapping[str, str]) -> None:
        """Give classes other names; nothing is learned or forgotten.

        Raises:
            ConfigError: If an old name is unknown, or a new one is taken or cannot be a name.
        """
        raise NotImplementedError

    def undo(self) -> TaskRecord:
        """Go back to before the last lesson and return its record.

        Raises:
            BundleError: If no earlier state is kept.
        """
        raise NotImplementedError

    def merge(self) -> nn.Module:
        """Return a plain timm model that computes the same logits from normalised images, ``label_names`` filled.

        Raises:
            ConfigError: If the method's function is not that of a plain model.
            NotTaughtError: Before the first lesson.
        """
        raise NotImplementedError

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a bundle, or add to one whose lessons are a prefix of these.

        Raises:
            BundleError: If the bundle that is there holds other lessons.
            BusyError: If another process is teaching it.
            StorageError: If it cannot be written; what was there is intact.
        """
        raise NotImplementedError

    @classmethod
    def load(cls, path: str | PathLike[str], *, device: str = "auto") -> Learner:
        """Return the learner that a bundle holds; nothing is executed or imported because the bundle says so.

        Raises:
            BundleError: If it is missing, damaged, or written by a newer sdlora.
        """
        raise NotImplementedError

    def summary(self) -> str:
        """Return lessons, classes and sizes as text."""
        raise NotImplementedError
