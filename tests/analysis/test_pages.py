import csv
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from sdlora.analysis import analyse, write_analysis
from sdlora.errors import ConfigError

FILES = ["closeness.csv", "fig_closeness.svg", "fig_importance.svg", "fig_path.svg"]
FILES += ["importance.csv", "index.html", "path.csv"]


def table(path):
    return list(csv.reader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def found(train):
    return analyse(train(), train("method.name=lora"), device="cpu")


def test_a_page_three_pictures_and_three_tables(found, tmp_path):
    folder = write_analysis(found, tmp_path / "deep/analysis")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    page = (folder / "index.html").read_text()
    for finding in found.findings:
        assert f"{finding.number} · {finding.statement}: {finding.verdict}" in page
    agreeing = sum(finding.verdict == "agrees" for finding in found.findings)
    assert f"{agreeing} of 3 findings of the paper show in this run." in page
    assert page.count("<svg") == 6 + 2 * 3  # wide and narrow, and a legend of two lines each
    assert not re.search(r"(?:src|href)=|url\(|<script", page)


def test_tables_hold_the_numbers(found, tmp_path):
    folder = write_analysis(found, tmp_path / "analysis")
    header, *rows = table(folder / "path.csv")
    assert header == ["point", "sdlora", "lora"]
    numbers = found.findings[2].numbers
    assert [row[0] for row in rows] == [str(point) for point in range(1, 12)]
    assert [float(row[1]) / 100 for row in rows] == pytest.approx(numbers["accuracies"])
    assert [float(row[2]) / 100 for row in rows] == pytest.approx(numbers["accuracies_against"])
    header, *rows = table(folder / "importance.csv")
    assert header == ["task", "residual", "magnitude"]
    assert [float(row[1]) for row in rows] == pytest.approx([1.0, *found.findings[1].numbers["residuals"]])


def test_pictures_stand_alone(found, tmp_path):
    folder = write_analysis(found, tmp_path / "analysis")
    for path in folder.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "--ink" in root[0].text
        assert root.attrib["aria-label"]


def test_a_method_without_magnitudes(train, tmp_path):
    lora = analyse(train("method.name=lora"), device="cpu")
    folder = write_analysis(lora, tmp_path / "analysis")
    header, *_ = table(folder / "importance.csv")
    assert header == ["task", "residual"]


def test_two_runs_of_one_method_have_two_lines(train, tmp_path):
    folder = write_analysis(analyse(train(), train(), device="cpu"), tmp_path / "analysis")
    header, *_ = table(folder / "path.csv")
    assert header[1:] == ["sdlora", "sdlora (against)"]


def test_it_is_written_again_with_the_same_bytes(found, tmp_path):
    folder = write_analysis(found, tmp_path / "analysis")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_analysis(found, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_is_not_ours_stays(found, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("my homepage")
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("x")
    for name in ("site", "file", "photos"):
        with pytest.raises(ConfigError, match=f"{name} was not written by sdlora"):
            write_analysis(found, tmp_path / name)
    (tmp_path / "empty").mkdir()
    write_analysis(found, tmp_path / "empty")


def test_hostile_paths_and_names_are_text(found, tmp_path):
    name = "<script>alert(1)</script>\x1b[31m"
    run = replace(found.run, path=tmp_path / name.replace("/", "_"))
    manifest = run.manifest.model_copy(update={"method": run.manifest.method.model_copy(update={"name": name})})
    folder = write_analysis(replace(found, run=replace(run, manifest=manifest)), tmp_path / "analysis")
    for path in folder.iterdir():
        text = path.read_text()
        assert "<script" not in text or path.suffix == ".csv"
        assert "\x1b" not in text
