"""What was taught and what was measured, as it was on its day: parts of the document that are lists there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sdlora.bundle.part import Count, Day, Name, Part, Sha256, Share


class Retest(Part):
    """Accuracy on images of earlier lessons, before and after a lesson.

    Attributes:
        name: What the folder is called, without the path to it.
        classes: How many of the model's classes it shows.
        tasks: The lessons that taught these classes; empty in records that do not say.
        num_images: Images in it.
        before: Accuracy of the model as it was, fraction.
        after: Accuracy with the lesson learned, fraction.
    """

    name: Name
    classes: Count
    tasks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    num_images: Count
    before: Share
    after: Share


class Weakest(Part):
    """The class of a lesson with the lowest held-out accuracy.

    Attributes:
        label: Its name.
        accuracy: Fraction.
        taken_for: What it is most often taken for; None if never for anything else.
    """

    label: Name
    accuracy: Share
    taken_for: Name | None


class Comparison(Part):
    """Held-out accuracy of a lesson next to that of class means: the class whose mean feature is nearest by angle.

    Attributes:
        num_classes: To choose from: all classes known after the lesson where the head keeps their means, and the
            features are those it sees; else the new classes alone, on the features of before the lesson.
        accuracy: Of the model, among these classes, fraction.
        class_means: Of class means, on the same images among the same classes, fraction.
    """

    num_classes: Count
    accuracy: Share
    class_means: Share


class TaskRecord(Part):
    """One lesson, as it was on its day.

    Attributes:
        task: Its number, from 1.
        classes: Names of the classes it added, in the order of the model's outputs.
        updated: Names of known classes that it taught again.
        source: What the pictures' folder or table is called, without the path to it; None in records that do not say.
        num_images: Images in all, readable ones.
        num_held_out: How many of them were held out.
        held_out_accuracy: On these, among all classes known after the lesson, fraction; None if there were none.
        weakest: The class that came out worst; None if nothing was held out.
        chance: What guessing among all classes known after the lesson would reach, fraction; None where not recorded.
        comparison: Class means on the held-out images; None where there is nothing to compare.
        retests: What was measured on folders of earlier classes.
        skipped: Unreadable files left out.
        epochs: Passes over the images; 0 where nothing was trained.
        seconds: Duration.
        date: Day, ISO 8601, UTC.
        weights: sha256 of the weights after the lesson.
    """

    task: Annotated[int, Field(ge=1)]
    classes: tuple[Name, ...]
    updated: tuple[Name, ...] = ()
    source: Name | None = None
    num_images: Count
    num_held_out: Count
    held_out_accuracy: Share | None
    weakest: Weakest | None = None
    chance: Share | None = None
    comparison: Comparison | None = None
    retests: tuple[Retest, ...] = ()
    skipped: Count = 0
    epochs: Count
    seconds: Annotated[float, Field(ge=0)]
    date: Day
    weights: Sha256

    @property
    def is_near_chance(self) -> bool:
        """Whether held-out accuracy is at most a tenth of the way from chance to 1."""
        if self.held_out_accuracy is None or self.chance is None:
            return False
        return self.held_out_accuracy <= self.chance + (1 - self.chance) / 10

    @property
    def is_below_class_means(self) -> bool:
        """Whether class means are right on more held-out images, by more than a point and more than a single image."""
        if self.comparison is None:
            return False
        return self.comparison.class_means - self.comparison.accuracy > max(0.01, 1.5 / max(1, self.num_held_out))

    @property
    def retested(self) -> frozenset[int]:
        """Earlier lessons of which a retest showed classes."""
        return frozenset(task for retest in self.retests for task in retest.tasks or range(1, self.task))

    def covers(self, earlier: TaskRecord) -> bool:
        """Whether this lesson measured the classes of an earlier one: by a retest, or by teaching all of them again."""
        taught_again = self.num_held_out > 0 and set(earlier.classes) <= set(self.updated)
        return earlier.task in self.retested or taught_again

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        accuracy = self.held_out_accuracy
        held_out = "nothing held out" if accuracy is None else f"held-out {100 * accuracy:.1f} %"
        classes = f"{len(self.classes)} class{'es'[: 2 * (len(self.classes) != 1)]}"
        return f"TaskRecord({self.task}: {classes}, {self.num_images} images, {held_out}, {self.seconds:.0f} s)"


class MeasuredTask(Part):
    """How well the classes of one lesson are told from all others.

    Attributes:
        task: The lesson.
        num_images: Images of its classes.
        accuracy: On these, fraction.
    """

    task: Annotated[int, Field(ge=1)]
    num_images: Count
    accuracy: Share


class Measurement(Part):
    """Accuracy of a generation's weights on labelled images, among all classes it knows.

    Attributes:
        name: What the data are called, without the path to them.
        sha256: Over pixels and labels of the images, in order.
        num_images: Images that were classified.
        accuracy: Fraction.
        tasks: By lesson, those of which there were images.
        date: Day, ISO 8601, UTC.
    """

    name: Name
    sha256: Sha256
    num_images: Annotated[int, Field(ge=1, le=2**53)]
    accuracy: Share
    tasks: Annotated[tuple[MeasuredTask, ...], Field(min_length=1)]
    date: Day
