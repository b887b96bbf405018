"""A model that goes on learning new classes."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdlora.backbones.vit import Backbone
from sdlora.bundle import Description, TaskRecord, read_bundle
from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.images import shrink
from sdlora.engine import Observer
from sdlora.engine.checkpoint import stored_state
from sdlora.engine.device import choose_device
from sdlora.errors import BundleError, BusyError, NotTaughtError
from sdlora.learner.data import opened
from sdlora.learner.defaults import augment_for
from sdlora.learner.measure import evaluation
from sdlora.learner.names import renamed
from sdlora.learner.pictures import as_many, as_pixels, batched
from sdlora.learner.state import State, as_backbone, check_named, make_method, restore
from sdlora.learner.storage import Origin, earlier_state, store
from sdlora.learner.summary import summary
from sdlora.learner.teaching import Wishes, teach
from sdlora.methods import Method
from sdlora.methods.plain import plain_model
from sdlora.predictions import Evaluation, Prediction, make_predictions
from sdlora.streams.resample import resample_each
from sdlora.streams.views import central_views

BATCH = 64  # images that are predicted together


class Learner:
    """A classifier that is taught lesson after lesson; it keeps no image, and never needs to know how many will come.

    Args:
        backbone: Name as in ``sdlora list backbones``, a `Backbone`, any model that `backbone_of` takes, or None for
            the shipped one.
        method: Name as in ``sdlora list methods``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:<n>"`` or ``"mps"``.
        seed: What all randomness is a function of.
        method_options: Arguments of the method's constructor.

    Raises:
        ConfigError: If a name or an option is wrong.
    """

    def __init__(
        self,
        backbone: str | Backbone | nn.Module | None = None,
        *,
        method: str = "sdlora",
        device: str = "auto",
        seed: int = 0,
        **method_options: Any,
    ) -> None:
        made = make_method(method, as_backbone(backbone), method_options, seed)
        self._begin(State.of(made, None), method, method_options, device, seed)
        self._is_named = backbone is None or isinstance(backbone, str)

    def _begin(self, state: State, name: str, options: Mapping[str, Any], device: str, seed: int) -> None:
        kind = choose_device(device)
        self.device = torch.device(device if device.startswith("cuda:") else kind)
        self.method_name, self.method_options, self.seed = name, dict(options), seed
        state.method.to(self.device)
        self._state = State.of(state.method, state.description)
        self._earlier: State | None = None
        self._origin: Origin | None = None
        self._is_named = True
        self._teaching = threading.Lock()

    @property
    def method(self) -> Method:
        """What has learned, in evaluation mode; a lesson replaces it."""
        return self._state.method

    @property
    def backbone(self) -> Backbone:
        """The pretrained model; what was learned may sit in it as adapters."""
        return self.method.backbone

    @property
    def history(self) -> tuple[TaskRecord, ...]:
        """The lessons, in order."""
        return self._state.description.tasks if self._state.description else ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs; a lesson only ever appends to it."""
        return self._state.description.classes if self._state.description else ()

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
    def augment(self) -> AugmentOptions:
        """How an image becomes a square, in training and at test."""
        if self._state.description is None:
            return augment_for(self.backbone.name)
        said = self._state.description.preprocessing
        return AugmentOptions(
            crop_scale=said.crop_scale, crop_ratio=said.crop_ratio, flip=said.flip, test_crop=said.test_crop
        )

    @property
    def num_bytes(self) -> int:
        """Size of what was learned; the pretrained weights do not count."""
        return sum(tensor.numel() * tensor.element_size() for tensor in stored_state(self.method).values())

    @property
    def model_version(self) -> str:
        """Generation and four digits of the weights' sha256, such as ``"3-7d1e"``; ``"0"`` before the first lesson."""
        state = self._state
        if state.description is None:
            return "0"
        if self._origin is not None and self._origin.state is state:
            return self._origin.version
        generation = self._origin.generation + 1 if self._origin else 1
        return f"{generation}-{state.description.tasks[-1].weights[:4]}"

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
            BusyError: If another thread is teaching this learner.
            NumericalError: If training diverges.
            KeyboardInterrupt: If it was interrupted.
        """
        wishes = Wishes(
            epochs=epochs,
            time_limit=time_limit,
            holdout=holdout,
            retest=tuple(retest),
            update=update,
            skip_known=skip_known,
            skip_unreadable=skip_unreadable,
            observer=progress or Observer(),
            should_stop=should_stop or (lambda: False),
        )
        if not self._teaching.acquire(blocking=False):
            raise BusyError("this learner is being taught by another thread", fix="wait for it")
        try:
            before = self._state
            state = teach(self, data, wishes)
            self._earlier, self._state = (before if before.description else None), state
        finally:
            self._teaching.release()
        return self.history[-1]

    def preprocess(self, image: Any) -> NDArray[np.uint8]:
        """Return one image as the model sees it at test: (image_size, image_size, 3).

        Args:
            image: Path, bytes, PIL image, array (H, W, 3) of uint8, or tensor (3, H, W), uint8 or float in 0..1.

        Raises:
            DataError: If it is none, or cannot be read.
        """
        augment = self.augment
        pixels = shrink(as_pixels(image), augment.shorter_side(self.image_size))
        views = central_views(np.array([pixels.shape[:2]]), self.image_size, augment)
        picture = resample_each([pixels], views, self.image_size)[0]
        seen: NDArray[np.uint8] = (picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        return seen

    @torch.inference_mode()
    def probabilities(self, batch: Tensor) -> NDArray[np.float32]:
        """Return the softmax over all classes of preprocessed images; safe to call from several threads.

        Args:
            batch: (N, image_size, image_size, 3), uint8, on the CPU.

        Returns:
            (N, num_seen), columns in the order of `classes`.

        Raises:
            NotTaughtError: Before the first lesson.
        """
        return self._probabilities(self._taught(), batch)

    def predict(
        self, images: Any, *, top_k: int = 3, threshold: float = 0.5, batch_size: int | None = None
    ) -> Prediction | list[Prediction]:
        """Say what images show.

        Args:
            images: One image in any form that `preprocess` takes; or many: a list, an iterator, a folder.
            top_k: How many classes to name.
            threshold: Probability of the best class below which a prediction is unsure.
            batch_size: Images that are looked at together; the answers do not depend on it.

        Returns:
            A `Prediction` for one image, a list of them for many, even if many is one.

        Raises:
            NotTaughtError: Before the first lesson.
            DataError: If an image cannot be read.
        """
        state, version = self._taught(), self.model_version
        description = state.description
        assert description is not None
        tasks = [description.task_of(label) for label in description.classes]
        many = as_many(images)
        found: list[Prediction] = []
        for batch in batched(iter([images] if many is None else many), batch_size or BATCH):
            found += make_predictions(
                self._probabilities(state, self._stacked(batch)),
                description.classes,
                tasks,
                images=[str(image) if isinstance(image, str | os.PathLike) else None for image in batch],
                top_k=top_k,
                threshold=threshold,
                model_version=version,
            )
        return found[0] if many is None else found

    def predict_proba(self, images: Any, *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Return probabilities (N, num_seen), columns in the order of `classes`; one image is N = 1.

        Raises:
            NotTaughtError: Before the first lesson.
            DataError: If an image cannot be read.
        """
        state = self._taught()
        many = as_many(images)
        batches = batched(iter([images] if many is None else many), batch_size or BATCH)
        rows = [self._probabilities(state, self._stacked(batch)) for batch in batches]
        return np.concatenate(rows) if rows else np.empty((0, self.num_seen), np.float32)

    def evaluate(self, data: Any, *, ignore_unknown: bool = False) -> Evaluation:
        """Measure how often the model is right.

        Args:
            data: Anything that `learn` takes; of data with a part for testing that part, else all.
            ignore_unknown: Leave out classes that were never taught, instead of refusing the data.

        Raises:
            NotTaughtError: Before the first lesson.
            DataError: If the data are not what they must be.
        """
        state = self._taught()
        assert state.description is not None
        with opened(data, self.augment.shorter_side(self.image_size), skip_unreadable=True) as images:
            return evaluation(
                state.predictor, state.description, images, self.augment, self.device, ignore_unknown=ignore_unknown
            )

    def rename(self, names: Mapping[str, str]) -> None:
        """Give classes other names; nothing is learned or forgotten.

        Args:
            names: Old name to new name.

        Raises:
            ConfigError: If an old name is unknown, or a new one is taken or cannot be a name.
            NotTaughtError: Before the first lesson.
        """
        state = self._taught()
        assert state.description is not None
        self._state = State(state.method, renamed(state.description, names), state.predictor)

    def undo(self) -> TaskRecord:
        """Go back to before the last lesson and return its record; again and again where a bundle keeps the states.

        Raises:
            BundleError: If no earlier state is kept.
            NotTaughtError: Before the first lesson.
        """
        state = self._taught()
        assert state.description is not None
        if self._earlier is None and self._origin is not None:
            self._earlier = earlier_state(self._origin, state.description, self.device)
        if self._earlier is None:
            raise BundleError("no state before the last lesson is kept")
        undone = state.description.tasks[-1]
        assert self._earlier.description is not None
        kept = dict(zip(self._earlier.description.classes, state.description.classes, strict=False))
        description = renamed(self._earlier.description, {old: new for old, new in kept.items() if old != new})
        self._state = State(self._earlier.method, description, self._earlier.predictor)
        self._earlier = None
        return undone

    def merge(self) -> nn.Module:
        """Return a plain model that computes the same logits from normalised images, with the class names in it.

        Raises:
            ConfigError: If the method's function is not that of a plain model.
            NotTaughtError: Before the first lesson.
        """
        state = self._taught()
        assert state.description is not None
        return plain_model(state.method, state.description.classes)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a bundle, or add to one that this learner came from or whose lessons are a prefix of its own.

        Raises:
            BundleError: If the bundle that is there holds other lessons.
            BusyError: If another process is teaching it.
            ConfigError: If no name leads to the backbone, so that nobody could load the bundle.
            StorageError: If it cannot be written; what was there is intact.
            NotTaughtError: Before the first lesson.
        """
        folder = Path(path)
        if not self._is_named:
            check_named(self.backbone)
            self._is_named = True
        self._origin = store(folder, self._taught(), self._earlier, self._origin)
        return folder

    @classmethod
    def load(cls, path: str | PathLike[str], *, device: str = "auto") -> Learner:
        """Return the learner that a bundle holds; nothing is executed or imported because the bundle says so.

        Raises:
            BundleError: If it is missing, damaged, or written by a newer sdlora.
            StorageError: If a file cannot be read.
        """
        bundle = read_bundle(Path(path))
        config = bundle.config
        description = Description(**{name: getattr(config, name) for name in Description.model_fields})
        learner = cls.__new__(cls)
        state = State.of(restore(description, bundle.tensors), description)
        learner._begin(state, config.method.name, config.method.options, device, config.seed)
        learner._origin = Origin.of(Path(path), config, learner._state)
        return learner

    def summary(self) -> str:
        """Return lessons, classes and sizes as text."""
        return summary(repr(self), self.history, self.num_bytes)

    def __repr__(self) -> str:
        lessons = f"{self.num_tasks} lesson{'s'[: self.num_tasks != 1]}, {self.num_seen} classes"
        known = lessons if self.history else "not taught yet"
        return f"Learner({self.backbone.name}, {self.method_name}, {known}, {self.device})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def _taught(self) -> State:
        state = self._state
        if state.description is None:
            raise NotTaughtError("this learner knows no class yet", fix="learner.learn(folder)")
        return state

    def _stacked(self, images: Sequence[Any]) -> Tensor:
        return torch.from_numpy(np.stack([self.preprocess(image) for image in images]))

    @torch.inference_mode()
    def _probabilities(self, state: State, batch: Tensor) -> NDArray[np.float32]:
        images = batch.to(self.device).permute(0, 3, 1, 2).contiguous().float().div_(255)
        logits = state.predictor(images).float()
        shares: NDArray[np.float32] = logits.softmax(dim=1).cpu().numpy()
        return shares
