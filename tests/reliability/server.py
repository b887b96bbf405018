"""What the server that forks the children has in memory; imported there alone."""

import atexit
import gc

import bundle.writers  # noqa: F401
import pytest  # noqa: F401
import reliability.worker  # noqa: F401
import torch._dynamo  # noqa: F401, the first optimiser would import it, for a second or two

gc.freeze()  # else each child's first collection would copy all pages of the server: half a second
atexit.register(gc.unfreeze)
