"""Training: from a method, a stream and options to a run folder; and back to the method from the folder."""

from sdlora.engine.evaluate import evaluate
from sdlora.engine.fit import fit
from sdlora.engine.options import FitOptions, OptimOptions, Steps
from sdlora.engine.progress import Observer, Progress, StepReport
from sdlora.engine.restore import load_method
from sdlora.engine.run_folder import RunResult

__all__ = [
    "FitOptions",
    "Observer",
    "OptimOptions",
    "Progress",
    "RunResult",
    "StepReport",
    "Steps",
    "evaluate",
    "fit",
    "load_method",
]
