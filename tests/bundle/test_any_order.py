"""C5: whatever is done to a bundle, in any order and by writers that know nothing of each other, it stays one."""

import random
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import torch
from bundles import contents, description, give_base, newest, record, tensors, with_base
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from reliability.conftest import in_memory
from reliability.faults import Calls

from sdlora import bundle, files
from sdlora.bundle import MeasuredTask, Measurement, commit_lesson, history, read_bundle, read_config, read_generation
from sdlora.errors import BundleError, BusyError

pytestmark = pytest.mark.slow

RUNS, STEPS = 30, 20


class KilledError(BaseException):
    """What a writer meets that is no more: nothing that it still tries has an effect."""


@contextmanager
def killed_before(call):
    """Let everything that changes files fail from a call of the operating system on, cleaning up included."""
    dead = False

    def before(number, _):
        nonlocal dead
        dead = dead or number >= call
        check()

    def check(*_, **__):
        if dead:
            raise KilledError

    real = {name: getattr(Path, name) for name in ("unlink", "rmdir")}

    def dying(name):
        return lambda path, **options: check() or real[name](path, **options)

    with (
        mock.patch.object(files, "os", Calls(before)),
        mock.patch.object(Path, "unlink", dying("unlink")),
        mock.patch.object(Path, "rmdir", dying("rmdir")),
    ):
        yield


class Shop(RuleBasedStateMachine):
    """A bundle beside a list of what it has to hold: for each state the digests of its lessons and its weights."""

    place: Path
    is_own = False

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(dir=self.place))
        self.path, self.count, self.names = self.folder / "shop", 2, ["class 0", "class 1"]
        self.states, self.held, self.copies = [(("0" * 64,), 0)], [], []
        self.generation = commit_lesson(
            self.path,
            self.described(self.names, self.states[0][0]),
            tensors(0),
            parent_generation=None,
            give_base=give_base,
        ).generation

    def described(self, names, lessons):
        """Return the description of a state: two classes in the first lesson, one in each other."""
        parts = [tuple(names[:2]), *[(name,) for name in names[2:]]]
        made = description(
            *[
                record(number, classes, weights=weights)
                for number, (classes, weights) in enumerate(zip(parts, lessons, strict=True), start=1)
            ]
        )
        return with_base(made) if self.is_own else made

    def lesson(self):
        """Return names and state after one more lesson."""
        self.count += 1
        weights = f"{self.count:064x}"
        return [*self.names, f"class {self.count}"], ((*self.states[-1][0], weights), self.count)

    def commit(self, names, state, parent):
        return commit_lesson(self.path, self.described(names, state[0]), tensors(state[1]), parent_generation=parent)

    def done(self, names, states):
        self.names, self.states = names, states[-1 - history.MAX_EARLIER :]
        self.generation += 1

    @rule()
    def learn(self):
        names, state = self.lesson()
        with bundle.writing(self.path):
            self.commit(names, state, self.generation)
        self.done(names, [*self.states, state])

    @rule(lag=st.integers(1, 5))
    def learn_from_what_was(self, lag):
        """The later of two writers, with or without locks."""
        names, state = self.lesson()
        before = contents(self.path)
        if self.generation > lag:
            with pytest.raises(BusyError):
                self.commit(names, state, self.generation - lag)
        with pytest.raises(BusyError):
            self.commit(names, state, None)
        assert contents(self.path) == before

    @rule(call=st.integers(0, 40))
    def learn_and_be_killed(self, call):
        names, state = self.lesson()
        try:
            with killed_before(call):
                self.commit(names, state, self.generation)
        except KilledError:
            pass
        if read_config(self.path).generation > self.generation:
            self.done(names, [*self.states, state])
        with bundle.writing(self.path):
            assert not list(self.path.rglob("*.partial"))

    @rule(number=st.integers(0, 100))
    def rename(self, number):
        names = list(self.names)
        names[number % len(names)] += "'"
        self.commit(names, self.states[-1], self.generation)
        self.done(names, self.states)

    @rule()
    def measure(self):
        part = MeasuredTask(task=1, num_images=8, accuracy=0.5)
        found = Measurement(name="test", sha256="0" * 64, num_images=8, accuracy=0.5, tasks=(part,), date="2026-01-02")
        bundle.record(self.path, self.generation, found)
        self.done(self.names, self.states)

    @rule()
    def undo(self):
        if len(self.states) == 1:
            with pytest.raises(BundleError, match="keeps no state"):
                bundle.undo(self.path)
            return
        bundle.undo(self.path)
        self.done(self.names[: 1 + len(self.states[-2][0])], self.states[:-1])

    @rule(what=st.sampled_from(["weights", "document"]), seed=st.integers(0, 1000), is_mended=st.booleans())
    def corrupt(self, what, seed, is_mended):
        file = self.path / read_config(self.path).weights.file if what == "weights" else newest(self.path)
        data = file.read_bytes()
        file.write_bytes(data[: random.Random(seed).randrange(len(data))])
        with pytest.raises(BundleError, match=file.name):
            read_bundle(self.path)
        if is_mended or len(self.states) == 1:
            file.write_bytes(data)
            return
        bundle.undo(self.path)
        known = len(self.states[-2][0]) + 1
        # names given since are known from the newest document alone
        self.done(list(read_config(self.path).classes) if what == "document" else self.names[:known], self.states[:-1])
        assert len(self.names) == known

    @rule()
    def copy(self):
        """Go on with a copy; the original must not notice."""
        self.copies.append((self.path, contents(self.path)))
        self.path = shutil.copytree(self.path, self.folder / f"copy {len(self.copies)}")

    @rule()
    def serve(self):
        self.held.append((read_bundle(self.path).tensors, self.states[-1][1]))

    @precondition(lambda self: hasattr(self, "states"))
    @invariant()
    def it_is_what_it_has_to_be(self):
        found = read_bundle(self.path)
        assert found.config.generation == self.generation
        assert found.config.classes == tuple(self.names)
        self.is_state(found, self.states[-1])
        earlier = list(bundle.earlier_states(self.path, found.config))
        assert len(earlier) == len(self.states) - 1
        for config, state in zip(earlier, reversed(self.states[:-1]), strict=True):
            self.is_state(read_generation(self.path, config.generation), state)
        assert sum(1 for _ in self.path.glob("base-*")) == self.is_own
        assert sum(1 for _ in self.path.glob("model-*")) <= len(self.states) + 2  # and what was killed just now

    def is_state(self, found, state):
        assert tuple(task.weights for task in found.config.tasks) == state[0]
        assert all(torch.equal(found.tensors[name], value) for name, value in tensors(state[1]).items())

    def teardown(self):
        for path, before in getattr(self, "copies", ()):
            assert contents(path) == before
        for held, value in getattr(self, "held", ()):
            assert all(torch.equal(held[name], expected) for name, expected in tensors(value).items())


@pytest.mark.parametrize(("is_own", "runs"), [(False, RUNS), (True, RUNS // 6)])
def test_c5_any_order(is_own, runs, tmp_path):
    with in_memory(tmp_path) as place:
        Shop.place, Shop.is_own = place, is_own
        run_state_machine_as_test(
            Shop,
            settings=settings(
                max_examples=runs,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
