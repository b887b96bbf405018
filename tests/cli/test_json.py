"""docs/json.md says exactly what the commands print."""

import re
import shutil
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
OPEN = {"config", "files", "findings[].numbers"}  # objects that are described elsewhere


def documented(verb):
    """Return key to type of a command's table."""
    text = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## sdlora {verb}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, flags=re.MULTILINE))


def found(value, path=""):
    """Yield path and value of everything in a document."""
    if path:
        yield path, value
    if isinstance(value, dict) and path not in OPEN:
        for key, part in value.items():
            yield from found(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and (not path or any(isinstance(part, dict) for part in value)):
        for part in value:
            yield from found(part, f"{path}[]")


WORDS = {
    "text": str,
    "integer": int,
    "integers": int,
    "number": (int, float),
    "fraction": (int, float),
    "array": list,
    "object": dict,
    "true": bool,
    "false": bool,
    "null": type(None),
}


def check(verb, *documents, unseen=()):
    table = documented(verb)
    seen = {}
    for document in documents:
        for path, value in found(document):
            if not path.endswith("[]"):
                seen.setdefault(path, []).append(value)
    assert set(table) - set(unseen) == set(seen)
    for path, values in seen.items():
        kinds = tuple(WORDS[word] for word in re.findall(r"\w+", table[path].partition(" of ")[0]) if word in WORDS)
        for value in values:
            assert isinstance(value, kinds), (path, value, table[path])
            assert not isinstance(value, bool) or bool in kinds, (path, value)
            assert "fraction" not in table[path] or value is None or 0 <= value <= 1 or "bwt" in path


def test_predict(sdlora, shop):
    check("predict", sdlora("predict", "shop", "test", "gone.png", "--json").json)


def test_evaluate(sdlora, shop):
    shutil.copy("test/rose/50.png", "test/daisy/99.png")
    shutil.copytree("test/rose", "test/orchid")
    shutil.rmtree("test/pine")
    check("evaluate", sdlora("evaluate", "shop", "test", "--ignore-unknown", "--json").json)


def test_inspect(sdlora, shop):
    check("inspect", sdlora("inspect", "shop", "--json").json)


def test_learn(sdlora, shop):
    shutil.copytree("test/rose", "again/rose")
    words = ["learn", "new", "spring", "--json"]
    first = sdlora(*words).json
    check("learn", first, sdlora("learn", "new", "autumn", "--retest", "again", "--json").json)


def test_export(sdlora, shop):
    sdlora("learn", "model", "spring", "--method", "lora", "--epochs", "1", "--quiet")
    check("export", sdlora("export", "model", "--to", "timm", "--json").json)


def test_list(sdlora):
    for kind in ("methods", "recipes", "datasets", "backbones"):
        rows = sdlora("list", kind, "--json").json
        assert all(next(iter(row)) == "name" for row in rows)
        assert all(row.keys() == rows[0].keys() for row in rows)
    assert {"options", "recipes"} < sdlora("list", "methods", "sdlora", "--json").json[0].keys()


def test_short_forms_of_learn(sdlora, shop):
    renamed = sdlora("learn", "shop", "--rename", "rose=Rosa", "--json").json
    assert list(renamed) == ["model", "version", "renamed"]
    undone = sdlora("learn", "shop", "--undo", "--json").json
    assert list(undone) == ["model", "version", "num_tasks", "num_seen", "gone"]


def test_train(sdlora, workplace):
    check("train", sdlora("train", "tiny.toml", "--json").json)


def test_report(sdlora, workplace):
    sdlora("train", "tiny.toml", "run.seeds=[0,1]", "--quiet")
    check("report", sdlora("report", "runs", "--json").json)


def test_analyze(sdlora, workplace):
    words = ("run.keep_task_weights=true", "--quiet")
    sdlora("train", "tiny.toml", *words)
    sdlora("train", "tiny.toml", "method.name=lora", "run.output_dir=runs/lora", *words)
    alone = sdlora("analyze", "runs/tiny/seed0", "--json").json
    both = sdlora("analyze", "runs/tiny/seed0", "--against", "runs/lora/seed0", "--json").json
    check("analyze", alone, both)
    check("analyze --heads", sdlora("analyze", "runs/tiny/seed0", "--heads", "--json").json)
    explained = (PAGE.parent / "analysis.md").read_text(encoding="utf-8")
    for finding in both["findings"]:
        assert all(f"`{key}`" in explained for key in finding["numbers"] if key != "num_images"), finding["numbers"]


@pytest.mark.parametrize("verb", ["analyze", "predict", "evaluate", "inspect", "learn", "train", "report"])
def test_every_key_is_explained_once(verb):
    text = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## sdlora {verb}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    keys = re.findall(r"^\| `([^`]+)`", section, flags=re.MULTILINE)
    assert len(keys) == len(set(keys)) > 5
