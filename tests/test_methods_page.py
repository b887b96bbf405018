"""docs/methods.md is what its script writes now."""

import importlib.util
from pathlib import Path

import pytest

from sdlora.methods import METHODS
from sdlora.reports.table5 import measure_table5, settings

ROOT = Path(__file__).parents[1]
FIX = "python scripts/write_methods_page.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("write_methods_page", ROOT / "scripts/write_methods_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written():
    return (ROOT / "docs/methods.md").read_text(encoding="utf-8")


def without_rows(page):
    """Leave out the measured rows, which alone take time."""
    head, _, rest = page.partition("## Costs at full scale\n")
    rows = tuple(f"| {name} |" for name in settings())
    return head + "\n".join(line for line in rest.splitlines() if not line.startswith(rows))


def test_every_method_and_option_stands_there_as_the_code_has_it(script, written):
    assert without_rows(script.page([])) == without_rows(written), FIX
    assert written.count("\n## ") == 4 + len(METHODS.names())


@pytest.mark.slow
def test_costs_are_what_is_measured_now(script, written):
    assert script.page(list(measure_table5())) == written, FIX


def test_equations_become_blocks(script):
    assert script._markdown("One.\n\n    y = x\n    z\n\nTwo.") == "One.\n\n```text\ny = x\nz\n```\n\nTwo.\n"
    assert script._markdown("One.\n\n    y = x") == "One.\n\n```text\ny = x\n```\n"
    assert script._markdown("1. a\n   b\n\nTwo.") == "1. a\n   b\n\nTwo.\n"
