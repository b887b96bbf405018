"""Settings for all tests: one thread, so that bits do not depend on the machine's load."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
