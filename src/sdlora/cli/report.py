"""``sdlora report``: one table and one page from any number of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import with_console
from sdlora.errors import ConfigError

if TYPE_CHECKING:
    from sdlora.reports import Run

EXAMPLES = ("sdlora report runs/", "sdlora report runs/glyphs100_10 --out glyphs100_10.html")

SIGNATURE = b"sdlora report</title>"  # on every page of ours

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders above them.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the page goes.")]


Measure = Annotated[
    bool, typer.Option("--measure", help="First measure what methods cost whose runs do not tell; they gain cost.json.")
]


@with_console
def report(console: Console, runs: Runs, *, out: Out = Path("report.html"), measure: Measure = False) -> int:
    """Compare finished runs in a table and a page.

    Mean and deviation over seeds, differences with their intervals; what makes a comparison unfair is said.
    """
    from sdlora import reports

    loaded = reports.load_runs(runs)
    if measure and measure_missing(console, loaded):
        loaded = reports.load_runs(runs)
    comparisons = reports.compare(loaded)
    rows = reports.summarise(loaded)
    for warning in reports.warnings(comparisons):
        console.warn(warning)
    page = write_page(loaded, out)
    console.document(rows)
    for comparison in comparisons:
        console.result(reports.headline(comparison))
    if rows:
        console.result(reports.render_table(rows))
    for comparison in comparisons:
        for line in reports.differences(comparison):
            console.result(line)
    console.result(f"Page: {page} ({page.stat().st_size / 1000:.0f} kB, one file)")
    return 0


def measure_missing(console: Console, runs: list[Run]) -> int:
    """Measure every method of which no run tells its costs; return how many there were."""
    from sdlora import reports

    entries = [entry for comparison in reports.compare(runs) for entry in comparison.entries if entry.cost is None]
    for entry in entries:
        console.note(f"Measured {entry.label} on made-up pictures: {reports.measure_entry(entry)}")
    return len(entries)


def write_page(runs: list[Run], path: Path) -> Path:
    """Write the page of some runs, over an older page of ours or where nothing is.

    Raises:
        ConfigError: If a file of somebody else is there.
        StorageError: If it cannot be written.
    """
    from sdlora import reports

    if path.is_file() and SIGNATURE not in path.read_bytes():
        raise ConfigError(f"{path} was not written by sdlora, so it stays as it is", fix="--out OTHER.html")
    return reports.write_page(runs, path)
