import pytest


@pytest.fixture
def runs(sdlora, workplace):
    sdlora("train", "tiny.toml", "run.seeds=[0,1]")
    sdlora("train", "tiny.toml", "run.seeds=[0,1]", "method.name=lora", "method.rank=2", "run.output_dir=runs/lora")
    return workplace / "runs"


def test_a_table_and_a_page(sdlora, runs, workplace):
    answer = sdlora("report", "runs")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("4 runs: 2 methods × 2 seeds, stream synthetic_2 ")
    assert {line.split()[0] for line in lines[2:4]} == {"sdlora", "lora"}
    assert lines[-1].startswith("Page: report.html (")
    assert "<html" in (workplace / "report.html").read_text()


def test_json_is_one_row_a_method(sdlora, runs, workplace):
    answer = sdlora("report", "runs/tiny", "runs/lora", "--json", "--out", "here.html")
    assert {(row["stream"], row["method"], row["seeds"]) for row in answer.json} == {
        ("synthetic_2", "sdlora", 2),
        ("synthetic_2", "lora", 2),
    }
    assert all(row["acc_std"] is not None for row in answer.json)
    assert (workplace / "here.html").exists()
    assert not (workplace / "report.html").exists()


def test_what_a_careful_reader_wants_to_know_is_a_warning(sdlora, workplace):
    sdlora("train", "tiny.toml")
    answer = sdlora("report", "runs")
    assert answer.code == 0
    assert "Warning: " in answer.err
    assert "Warning: " not in answer.out


def test_no_run(sdlora, workplace):
    (workplace / "results").mkdir()
    answer = sdlora("report", "results")
    assert answer.code == 3
    assert "Error: no run in results" in answer.err
    assert "Fix: name a folder that sdlora train wrote into" in answer.err


def test_a_page_that_cannot_be_written(sdlora, runs):
    answer = sdlora("report", "runs", "--out", "nowhere/report.html")
    assert answer.code == 7
    assert "nowhere/report.html" in answer.err


def test_a_file_of_somebody_else_is_not_replaced(sdlora, runs, workplace):
    (workplace / "report.html").write_text("<html>my homepage</html>")
    answer = sdlora("report", "runs")
    assert answer.code == 2
    assert "report.html was not written by sdlora" in answer.err
    assert (workplace / "report.html").read_text() == "<html>my homepage</html>"


def test_its_own_page_is_replaced(sdlora, runs, workplace):
    sdlora("report", "runs")
    page = (workplace / "report.html").read_bytes()
    assert sdlora("report", "runs").code == 0
    assert (workplace / "report.html").read_bytes() == page


def test_costs_can_be_measured_afterwards(sdlora, runs, workplace):
    keys = ("rehearsal_free", "one_pass", "end_to_end", "passes", "flops")
    measured = [[row[key] for key in keys] for row in sdlora("report", "runs", "--json").json]
    for path in workplace.rglob("cost.json"):
        path.unlink()
    answer = sdlora("report", "runs", "--json")
    assert all(row[key] is None for row in answer.json for key in keys)
    answer = sdlora("report", "runs", "--json", "--measure")
    assert answer.err.count("on made-up pictures: ") == 2
    assert [[row[key] for key in keys] for row in answer.json] == measured
    assert len(list(workplace.rglob("cost.json"))) == 2
    again = sdlora("report", "runs", "--json", "--measure")
    assert "made-up" not in again.err
    assert again.json == answer.json
