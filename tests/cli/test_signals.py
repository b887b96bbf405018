import signal
import threading

import pytest

from sdlora.cli.signals import terminable


def test_sigterm_becomes_an_exit_and_only_within():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, terminable():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_change_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def enter():
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
