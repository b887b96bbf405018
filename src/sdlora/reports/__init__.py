"""Runs in, tables and pages out."""

from sdlora.reports.comparison import Comparison, Entry, compare
from sdlora.reports.fairness import warnings
from sdlora.reports.findings import answer, differences, headline
from sdlora.reports.heads_table import heads_table, render_heads
from sdlora.reports.measuring import measure_entry
from sdlora.reports.page import write_page
from sdlora.reports.readme_figure import figure_for_readme
from sdlora.reports.runs import Run, load_runs
from sdlora.reports.streams_figure import figure_across_streams
from sdlora.reports.summary import summarise
from sdlora.reports.table import render_table, to_csv

__all__ = [
    "Comparison",
    "Entry",
    "Run",
    "answer",
    "compare",
    "differences",
    "figure_across_streams",
    "figure_for_readme",
    "headline",
    "heads_table",
    "load_runs",
    "measure_entry",
    "render_heads",
    "render_table",
    "summarise",
    "to_csv",
    "warnings",
    "write_page",
]
