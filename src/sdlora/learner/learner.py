"""A model that goes on learning new classes."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdlora.backbones.vit import Backbone
from sdlora.bundle import BackboneSource, Description, TaskRecord, read_bundle
from sdlora.datasets.base import AugmentOptions
from sdlora.engine import Observer
from sdlora.engine.checkpoint import stored_state
from sdlora.engine.device import choose_device
from sdlora.errors import BundleError, BusyError, NotTaughtError
from sdlora.learner.bar import watching
from sdlora.learner.classifier import Classifier
from sdlora.learner.data import opened
from sdlora.learner.defaults import augment_of
from sdlora.learner.defaults import method_options as options_of
from sdlora.learner.measure import evaluation
from sdlora.learner.names import renamed, with_later_names
from sdlora.learner.own_backbone import OwnBackbone
from sdlora.learner.pictures import as_seen
from sdlora.learner.state import State, as_backbone, backbone_in, is_named, make_method, on_backbone, restore
from sdlora.learner.storage import Origin, described, earlier_state, store, version_of
from sdlora.learner.summary import heading, known, lesson_table, warnings
from sdlora.learner.teaching import teach
from sdlora.learner.wishes import Wishes, several
from sdlora.methods import Method
from sdlora.methods.plain import plain_model
from sdlora.predictions import Evaluation, Prediction


class Learner:
    """A classifier that is taught lesson after lesson; it keeps no image, and never needs to know how many will come.

    Args:
        backbone: Name as in ``sdlora list backbones``, a `Backbone`, any model that `backbone_of` takes, or None for
            the shipped one.
        method: Name as in ``sdlora list methods``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:<n>"`` or ``"mps"``.
        seed: What all randomness is a function of.
        method_options: Arguments of the method's constructor. Where its head can be solved, what is not given of
            ``head``, ``layers`` and ``adapt_tasks`` is as in `sdlora.learner.defaults`; ``head="linear"`` gives the
            published head, which is trained.

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
        found = as_backbone(backbone)
        own = None if backbone is None or isinstance(backbone, str) else OwnBackbone(found)
        options = options_of(method, method_options)
        made = make_method(method, found, options, seed)
        self._begin(State.of(made, None), method, options, device, seed, own=own)

    def _begin(
        self, state: State, name: str, options: Mapping[str, Any], device: str, seed: int, *, own: OwnBackbone | None
    ) -> None:
        kind = choose_device(device)
        self.device = torch.device(device if device.startswith("cuda:") else kind)
        self.method_name, self.method_options, self.seed = name, dict(options), seed
        state.method.to(self.device)
        self._state = State.of(state.method, state.description)
        self._earlier: State | None = None
        self._origin: Origin | None = None
        self._own = own
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
    def source(self) -> BackboneSource:
        """What a bundle says of the backbone; that no name leads to it is known from the first `save` on."""
        if self._state.description is not None:
            return self._state.description.backbone
        return BackboneSource(name=self.backbone.name, sha256=self.backbone.sha256)

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
        return augment_of(self._state.description, self.backbone.name)

    @property
    def num_bytes(self) -> int:
        """Size of what was learned; the pretrained weights do not count."""
        return sum(tensor.numel() * tensor.element_size() for tensor in stored_state(self.method).values())

    @property
    def model_version(self) -> str:
        """Generation and four digits of the weights' sha256, such as ``"3-7d1e"``; ``"0"`` before the first lesson."""
        return version_of(self._state, self._origin)

    def learn(  # noqa: PLR0913  each is a choice of its own, and none is needed
        self,
        data: Any,
        *,
        epochs: int | None = None,
        time_limit: float | None = None,
        holdout: float = 0.2,
        retest: Any = (),
        update: bool = False,
        skip_known: bool = False,
        skip_unreadable: bool = False,
        progress: Observer | bool | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> TaskRecord:
        """Teach new classes; all or nothing: after any exception the learner answers as before.

        Args:
            data: A folder of class folders, a CSV file of paths and labels, or a torch Dataset with ``.classes``.
            epochs: Passes over the images; None for a number that suits their count.
            time_limit: Seconds for everything; epochs are cut to fit.
            holdout: Share of each class that is not learned but measures the lesson.
            retest: A folder (or other data) of earlier classes, measured before and after, or a list of them.
            update: Also teach known classes again: their images are added to what the head keeps of them.
            skip_known: Leave known classes out.
            skip_unreadable: Leave unreadable files out; else they end the lesson before it begins.
            progress: Hears of every step; or whether to show a bar, None for yes on a terminal and in a notebook.
            should_stop: Asked after every step; if it says yes, KeyboardInterrupt is raised.

        Raises:
            DataError: If the data are not what they must be.
            ConfigError: If an argument is wrong.
            BusyError: If another thread is teaching this learner.
            NumericalError: If training diverges.
            KeyboardInterrupt: If it was interrupted.
        """
        if not self._teaching.acquire(blocking=False):
            raise BusyError("this learner is being taught by another thread", fix="wait for it")
        try:
            with watching(progress) as observer:
                wishes = Wishes(
                    epochs=epochs,
                    time_limit=time_limit,
                    holdout=holdout,
                    retest=several(retest),
                    update=update,
                    skip_known=skip_known,
                    skip_unreadable=skip_unreadable,
                    observer=observer,
                    should_stop=should_stop or (lambda: False),
                )
                before, state = self._state, teach(self, data, wishes)
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
        return as_seen(image, self.image_size, self.augment)

    def probabilities(self, batch: Tensor) -> NDArray[np.float32]:
        """Return the softmax over all classes of preprocessed images; safe to call from several threads.

        Args:
            batch: (N, image_size, image_size, 3), uint8, on the CPU.

        Returns:
            (N, num_seen), columns in the order of `classes`.

        Raises:
            NotTaughtError: Before the first lesson.
        """
        return self._classifier().probabilities(batch)

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
        return self._classifier().predict(images, top_k=top_k, threshold=threshold, batch_size=batch_size)

    def predict_proba(self, images: Any, *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Return probabilities (N, num_seen), columns in the order of `classes`; one image is N = 1.

        Raises:
            NotTaughtError: Before the first lesson.
            DataError: If an image cannot be read.
        """
        return self._classifier().predict_proba(images, batch_size=batch_size)

    def evaluate(self, data: Any, *, ignore_unknown: bool = False) -> Evaluation:
        """Measure how often the model is right.

        Args:
            data: Anything that `learn` takes; of data with a part for testing that part, else all.
            ignore_unknown: Leave out classes that were never taught, instead of refusing the data.

        Raises:
            NotTaughtError: Before the first lesson.
            DataError: If the data are not what they must be.
        """
        state, description = self._taught()
        with opened(data, self.augment.shorter_side(self.image_size), skip_unreadable=True) as images:
            return evaluation(
                state.predictor, description, images, self.augment, self.device, ignore_unknown=ignore_unknown
            )

    def rename(self, names: Mapping[str, str]) -> None:
        """Give classes other names; nothing is learned or forgotten.

        Args:
            names: Old name to new name.

        Raises:
            ConfigError: If an old name is unknown, or a new one is taken or cannot be a name.
            NotTaughtError: Before the first lesson.
        """
        state, description = self._taught()
        self._state = State(state.method, renamed(description, names), state.predictor)

    def undo(self) -> TaskRecord:
        """Go back to before the last lesson and return its record; again and again where a bundle keeps the states.

        Raises:
            BundleError: If no earlier state is kept.
            NotTaughtError: Before the first lesson.
        """
        _, description = self._taught()
        if self._earlier is None and self._origin is not None:
            self._earlier = earlier_state(self._origin, description, self.device)
        if self._earlier is None or self._earlier.description is None:
            raise BundleError("no state before the last lesson is kept")
        kept = with_later_names(self._earlier.description, description)
        self._state = State(self._earlier.method, kept, self._earlier.predictor)
        self._earlier = None
        return description.tasks[-1]

    def merge(self) -> nn.Module:
        """Return a plain model that computes the same logits from normalised images, with the class names in it.

        Raises:
            ConfigError: If the method's function is not that of a plain model.
            NotTaughtError: Before the first lesson.
        """
        state, description = self._taught()
        return plain_model(state.method, description.classes)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a bundle, or add to one that this learner came from or whose lessons are a prefix of its own.

        A backbone that no name leads to is written too, once, after it was built anew and compared.

        Raises:
            BundleError: If the bundle that is there holds other lessons.
            BusyError: If another process is teaching it.
            ConfigError: If no name leads to the backbone, and it has parts that nobody could build again.
            StorageError: If it cannot be written; what was there is intact.
            NotTaughtError: Before the first lesson.
        """
        folder = Path(path)
        _, description = self._taught()
        if self._own is not None and description.backbone.base is None:
            self._place_backbone(self._own)
        self._origin = store(folder, self._state, self._earlier, self._origin, self._own)
        return folder

    def _place_backbone(self, own: OwnBackbone) -> None:
        """Find out whether the backbone goes into the bundle, and say so in what is known of it."""
        if is_named(self.backbone):
            self._own = None
            return
        self._state = on_backbone(self._state, own.source)
        self._earlier = None if self._earlier is None else on_backbone(self._earlier, own.source)

    @classmethod
    def load(cls, path: str | PathLike[str], *, device: str = "auto") -> Learner:
        """Return the learner that a bundle holds; nothing is executed or imported because the bundle says so.

        Raises:
            BundleError: If it is missing, damaged, or written by a newer sdlora.
            StorageError: If a file cannot be read.
        """
        bundle = read_bundle(Path(path))
        config, description = bundle.config, described(bundle.config)
        backbone = backbone_in(description, bundle.base)
        own = None if bundle.base is None else OwnBackbone(backbone, description.backbone)
        learner = cls.__new__(cls)
        state = State.of(restore(description, bundle.tensors, backbone), description)
        learner._begin(state, config.method.name, config.method.options, device, config.seed, own=own)
        learner._origin = Origin.of(Path(path), config, learner._state)
        return learner

    def summary(self) -> str:
        """Return the text of ``sdlora inspect``: what it is, its backbone, a line a lesson, advice on bad ones."""
        return "\n".join([*heading(self), *lesson_table(self), *warnings(self)])

    def __repr__(self) -> str:
        return f"Learner({self.backbone.name}, {self.method_name}, {known(self)}, {self.device})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def _taught(self) -> tuple[State, Description]:
        state = self._state
        if state.description is None:
            raise NotTaughtError("this learner knows no class yet", fix="learner.learn(folder)")
        return state, state.description

    def _classifier(self) -> Classifier:
        state, description = self._taught()
        return Classifier(state.predictor, description, self.augment, self.device, self.model_version)
