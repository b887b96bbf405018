"""H5 and the write primitive, as rules on the source: what runs code or writes files stands where it is known."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sdlora

ROOT = Path(sdlora.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))

CODE = {"eval", "exec", "compile", "__import__", "breakpoint", "import_module", "run_path", "run_module"}
CODE_OF = {"os": {"system", "popen", "execv", "execve", "spawnv"}, "torch": {"load", "save", "hub"}}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "code", "ctypes", "runpy", "imp"}
PROCESSES = {"subprocess", "multiprocessing"}
WRITES = {"write_text", "write_bytes", "save_file", "save_model", "tofile", "savez", "savetxt", "memmap", "touch"}

ALLOWED = {
    "datasets/cifar100.py": {"pickle"},  # of published checksums, by an unpickler of arrays alone
    "engine/manifest.py": {"subprocess"},  # git, for its hash
    "server/beside.py": {"subprocess"},  # starts the processes that decode and teach
    "server/teacher.py": {"subprocess"},  # the type of one
    "server/decoders.py": {"subprocess"},  # likewise
    "engine/metric_log.py": {"open"},  # only ever grows
    "datasets/store.py": {"memmap"},  # pixels decoded before, only read
    "export/extras.py": {"import_module"},  # names that stand in the source
}


def found_in(path: Path) -> set[str]:
    """Return the words for what a file may do beyond computing."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & (MODULES | PROCESSES)
        if isinstance(node, ast.ImportFrom):
            found |= set((node.module or "").split(".")) & (MODULES | PROCESSES)
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name):
            found |= {function.id} & (CODE | WRITES)
        elif isinstance(function, ast.Attribute):
            of = function.value.id if isinstance(function.value, ast.Name) else ""
            found |= {function.attr} & (WRITES | CODE - {"eval", "compile"} | CODE_OF.get(of, set()))
        if (isinstance(function, ast.Name) and function.id == "open") or getattr(function, "attr", "") == "open":
            modes = [*node.args, *[word.value for word in node.keywords if word.arg == "mode"]]
            if any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes[:2]):
                found.add("open")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_runs_code_or_writes_past_the_primitive(path):
    assert found_in(path) <= ALLOWED.get(path.relative_to(ROOT).as_posix(), set())


def test_nothing_is_allowed_in_vain():
    for name, allowed in ALLOWED.items():
        assert found_in(ROOT / name) == allowed, name


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("eval(x)", {"eval"}),
        ("torch.load(x)", {"load"}),
        ("import pickle as p", {"pickle"}),
        ("from yaml import safe_load", {"yaml"}),
        ("os.system(x)", {"system"}),
        ("open(x, 'w')", {"open"}),
        ("x.open(mode='ab')", {"open"}),
        ("x.write_text(y)", {"write_text"}),
        ("importlib.import_module(x)", {"import_module"}),
        ("model.eval(); re.compile(x); open(x); x.open('rb'); json.load(x)", set()),
    ],
)
def test_the_rules_see_what_they_are_for(tmp_path, source, words):
    (tmp_path / "x.py").write_text(source)
    assert found_in(tmp_path / "x.py") == words
