"""What ``sdlora learn`` changes without teaching: the last lesson is undone, classes are renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sdlora.cli.console import Console
from sdlora.errors import ConfigError


def check_alone(word: str, lesson: Mapping[str, object]) -> None:
    """Refuse what only a lesson can obey: ``--undo --out NEW`` would change the very model that is to stay.

    Raises:
        ConfigError: Naming each such option.
    """
    if stray := [option for option, value in lesson.items() if value is not None and value is not False]:
        raise ConfigError(f"{', '.join(stray)} with {word}", expected=f"{word} alone; it teaches nothing")


def undo_lesson(console: Console, model: Path) -> int:
    """Take the last lesson back, and say what is no longer known."""
    from sdlora.bundle import read_config, undo, writing
    from sdlora.errors import BundleError
    from sdlora.learner.summary import counted

    _check_bundle(model)
    with writing(model):
        try:
            before = read_config(model).classes
        except BundleError:  # it is damaged; to undo that is what is wanted
            before = ()
        config = undo(model)
    gone = [label for label in before if label not in config.classes]
    console.document(
        {
            "model": str(model),
            "version": config.version,
            "num_tasks": len(config.tasks),
            "num_seen": len(config.classes),
            "gone": gone,
        }
    )
    known = f"{counted(len(config.classes), 'class', 'classes')} in {counted(len(config.tasks), 'lesson', 'lessons')}"
    console.result(f"{model} is back to {known}." + (f" Gone: {', '.join(gone)}." if gone else ""))
    return 0


def rename_classes(console: Console, model: Path, pairs: Sequence[str]) -> int:
    """Give classes the names that texts such as ``old=new`` say.

    Raises:
        ConfigError: If a text is no such pair, or a class would get two names.
    """
    from sdlora.bundle import writing
    from sdlora.learner import Learner

    names: dict[str, str] = {}
    for pair in pairs:
        old, equals, name = pair.partition("=")
        if not equals:
            raise ConfigError(f"--rename {pair}", expected="OLD=NEW")
        if old in names:
            raise ConfigError(f"--rename {old} to {names[old]} and to {name}", expected="one new name")
        names[old] = name
    _check_bundle(model)
    with writing(model):
        learner = Learner.load(model, device="cpu")
        learner.rename(names)
        learner.save(model)
    console.document({"model": str(model), "version": learner.model_version, "renamed": names})
    for old, name in names.items():
        console.result(f"{old} is called {name} now.")
    return 0


def _check_bundle(model: Path) -> None:
    """Refuse what is no model, before a lock is put into it.

    Raises:
        BundleError: Saying what it is instead.
    """
    from sdlora.bundle import is_bundle, read_config

    if not is_bundle(model):
        read_config(model)
