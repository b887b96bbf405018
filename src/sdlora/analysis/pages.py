"""What an analysis leaves behind: a page, and each of its figures as SVG and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from sdlora.analysis.analyse import Analysis
from sdlora.analysis.verdicts import Finding
from sdlora.errors import ConfigError
from sdlora.files import make_folder, write_atomic
from sdlora.reports.charts import NARROW, WIDE, Series, line_chart, looks, swatch
from sdlora.reports.environment import page_environment, page_style
from sdlora.reports.text import printable

SIGNATURE = b"sdlora analysis</title>"  # on every page of ours


@dataclass(frozen=True)
class Figure:
    """The picture of a finding.

    Attributes:
        name: Of its files, without ending.
        finding: What it shows.
        series: Its lines.
        axes: Titles of the vertical and the horizontal axis.
        header: Names of the columns of its data.
        rows: The data: where on the horizontal axis, then the value of each line.
    """

    name: str
    finding: Finding
    series: tuple[Series, ...]
    axes: tuple[str, str]
    header: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def picture(self, width: float) -> Markup:
        """Return the figure, for pages."""
        values = "; ".join(f"{one.label} from {one.values[0]:.3g} to {one.values[-1]:.3g}" for one in self.series)
        return line_chart(
            self.series, width, alt=f"{self.finding.statement}: {values}.", axes=self.axes, has_end_values=False
        )

    @property
    def wide(self) -> Markup:
        """The figure for wide screens."""
        return self.picture(WIDE)

    @property
    def narrow(self) -> Markup:
        """The figure for narrow screens."""
        return self.picture(NARROW)


def write_analysis(analysis: Analysis, folder: Path) -> Path:
    """Write ``index.html``, three SVG and three CSV files, over older ones of ours; the same analysis, the same bytes.

    Raises:
        ConfigError: If the folder holds a page of somebody else.
        StorageError: If something cannot be written.
    """
    check_free(folder)
    drawn = figures(analysis)
    page = page_environment().get_template("analysis.html")
    make_folder(folder)
    for figure in drawn:
        write_atomic(folder / f"fig_{figure.name}.svg", _standalone(figure.wide).encode())
        write_atomic(folder / f"{figure.name}.csv", _table(figure).encode())
    text = page.render(
        analysis=analysis,
        figures=drawn,
        path=printable(str(analysis.run.path)),
        against=None if analysis.against is None else printable(str(analysis.against.path)),
        method=printable(analysis.run.method),
        swatch=swatch,
        style=page_style(),
    )
    write_atomic(folder / "index.html", text.encode("utf-8"))
    return folder


def check_free(folder: Path) -> None:
    """Refuse a folder that is not ours to write into.

    Raises:
        ConfigError: If it holds something, but no page of ours.
    """
    page = folder / "index.html"
    is_ours = page.is_file() and SIGNATURE in page.read_bytes()
    if folder.exists() and not is_ours and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} was not written by sdlora, so it stays as it is", fix="--out OTHER_FOLDER")


def figures(analysis: Analysis) -> tuple[Figure, Figure, Figure]:
    """Return the figure of each finding."""
    first, second, third = analysis.findings
    tasks = range(1, len(analysis.run.task_sizes) + 1)
    distances = {
        "to the start": first.numbers["distances_to_start"],
        "to other tasks": first.numbers["mean_distances_to_other_tasks"],
    }
    residuals = [1.0, *second.numbers["residuals"]]  # nothing is older than the first direction
    importance = {"residual": residuals, "magnitude": second.numbers["magnitudes"]}
    way = {analysis.run.method: third.numbers["accuracies"]}
    if analysis.against is not None:
        name = analysis.against.method
        way[name if name not in way else f"{name} (against)"] = third.numbers["accuracies_against"]
    steps = range(1, len(third.numbers["accuracies"]) + 1)
    percent = {name: [100 * value for value in values] for name, values in way.items()}
    return (
        _figure("closeness", first, distances, ("distance, in mean distances to the start", "after task"), tasks),
        _figure("importance", second, importance, ("residual; magnitude after the last task", "task"), tasks),
        _figure("path", third, percent, ("accuracy on task 1, % (point 11: after task 2)", "point"), steps),
    )


def _figure(
    name: str,
    finding: Finding,
    lines: Mapping[str, Sequence[float] | None],
    axes: tuple[str, str],
    places: Sequence[int],
) -> Figure:
    """Draw the lines there are, each with a value at every place."""
    present = {printable(label): values for label, values in lines.items() if values is not None}
    look = looks(present, ())
    series = tuple(Series(label, look[label], values, [None] * len(places)) for label, values in present.items())
    rows = tuple(zip(places, *present.values(), strict=True))
    return Figure(name, finding, series, axes, (axes[1], *present), rows)


def _table(figure: Figure) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(figure.header)
    writer.writerows(figure.rows)
    return out.getvalue()


def _standalone(picture: Markup) -> str:
    """Return a picture with the style that it has on the page."""
    head, _, rest = str(picture).partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style><![CDATA[{page_style()}]]></style>{rest}\n"
