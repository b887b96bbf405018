"""Does a run show what the paper found? Three findings as numbers, figures and verdicts; rules in docs/analysis.md."""

from sdlora.analysis.analyse import Analysis, analyse
from sdlora.analysis.pages import write_analysis
from sdlora.analysis.verdicts import Finding

__all__ = ["Analysis", "Finding", "analyse", "write_analysis"]
