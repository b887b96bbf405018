import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from made_up_runs import MadeUp

from sdlora.reports.comparison import compare
from sdlora.reports.page import page_looks, render_page, write_page
from sdlora.reports.runs import load_runs
from sdlora.reports.text import printable

VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Elements with their attributes, and texts, of a page; refuses tags that do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.stack: list[str] = []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags with the names of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(full):
    return render_page(full)


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def test_sections_answer_the_questions_of_a_reader_in_order(outline):
    classes = [attributes.get("class") for attributes in outline.all("section")]
    assert classes == [None, "accuracy", "matrices", "forgetting", "cost", "inside", "paper", "repeat"]
    text = " ".join(" ".join(outline.texts).split())
    order = ["sdlora ends at", "95 % interval", "Results", "sdlora is ahead", "after every task.", "forgets most",
             "What the accuracy costs.", "first direction", "Beside the paper", "Repeat this"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_facts_stand_under_the_answer(outline):
    text = " ".join(outline.texts)
    for fact in ("glyphs_10, 10 tasks × 10 classes", "0, 1, 2, 3, 4", "glyph_vit · 41bf9c1e", "2026-10-11", "0.1.0"):
        assert fact in text


def test_nothing_is_fetched(page, outline):
    for tag, attributes in outline.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "audio", "video", "form", "base", "use", "image")
        assert not {"src", "srcset", "xlink:href", "action", "style"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith(("#", "data:text/csv"))
    assert not re.search(r"https?://|url\(|@import|@font-face|fetch\(|XMLHttp", page)


def test_a_policy_forbids_what_the_page_does_not_do(page, outline):
    (policy,) = (a["content"] for a in outline.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_every_picture_has_words_and_every_figure_its_data(outline):
    pictures = outline.all("svg")
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in pictures)
    assert len([a for a in pictures if a.get("role") == "img"]) == 2 + 3 + 2 + 2 * 2 + 3 + 2
    figures = [
        a for a in outline.all("section") if a.get("class") in ("accuracy", "matrices", "forgetting", "cost", "inside")
    ]
    assert len([a for a in outline.all("details") if a.get("class") == "data"]) == len(figures) == 5


def test_labels_point_at_something_and_names_are_unique(outline):
    ids = [attributes["id"] for _, attributes in outline.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {
        attributes["aria-labelledby"] for _, attributes in outline.elements if "aria-labelledby" in attributes
    } <= set(ids)


def test_the_table_opens_its_seeds(full, outline):
    text = " ".join(" ".join(outline.texts).split())
    (entry,) = (entry for entry in compare(full)[0].ranked if entry.label == "lora")
    for run in entry.runs:
        accuracy = sum(run.matrix.row(9)) / 10
        assert f"seed {run.seed} {100 * float(accuracy):.1f}" in text


def test_properties_and_costs_are_measured_and_absent_where_nobody_measured(small):
    small.add("sdlora", 0, cost={"flops": 3100, "one_pass": False}, hits=[[90], [80, 80]])
    small.add("lora", 0, hits=[[90], [60, 60]])
    page = render_page(load_runs([small.root]))
    rows = re.findall(r"<tr>\n<th scope=\"row\" data-value=.*?</tr>", page, re.DOTALL)
    found = [re.findall(r"<td[^>]*>(?:<span[^>]*>)?([^<]*)", row)[-4:] for row in rows]
    assert found == [["3.10 ×", "yes", "no", "yes"], ["–", "–", "–", "–"]]
    assert "sdlora declares yes for one pass, measured is no." in page


def test_classes_stand_after_what_is_inside(small):
    small.add("sdlora", 0, confusion=[[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]])
    small.add("lora", 0)
    outline = Outline(render_page(load_runs([small.root])))
    classes = [attributes.get("class") for attributes in outline.all("section")]
    assert classes[-4:] == ["inside", "classes", "paper", "repeat"]
    assert any(text.startswith("sdlora takes 25.0") for text in outline.texts)
    assert "After the last task, among all classes; summed over 1 run." in outline.texts


def test_what_wins_is_bold_and_joint_training_is_not_ranked(page):
    assert page.count('class="number best"') == 3
    assert '<tr class="bound">' in page


def test_methods_keep_their_look_on_the_whole_page(full, tmp_path):
    other = MadeUp(tmp_path / "runs", stream="other_2", task_sizes=(2, 2))
    other.add("finetune", 0)
    other.add("inflora", 0, 50)
    found = page_looks(compare([*full, *load_runs([other.root])]))
    assert found["sdlora"].colour == 0
    assert found["joint"].colour is None
    assert len({look.colour for look in found.values()}) == 5


def test_two_themes_print_and_phone(page):
    for words in (
        "@media screen and (prefers-color-scheme: dark)",
        "@media print",
        "max-width: 600px",
        "width=device-width",
    ):
        assert words in page


def test_readable_without_script(page, outline):
    assert len(outline.all("script")) == 1
    assert not outline.all("noscript")
    assert "hidden" not in {name for _, attributes in outline.elements for name in attributes}
    assert 'role="img"' in page.split("<script>")[0]


def test_it_stays_small(page):
    assert len(page.encode()) < 250_000


def test_the_same_runs_give_the_same_bytes(full, page, tmp_path):
    path = write_page(full, tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    assert path.read_bytes() == page.encode()


def test_several_comparisons_are_linked_and_warned_about_first(full, small):
    small.add("lora", 0)
    page = Outline(render_page([*full, *load_runs([small.root])]))
    assert [a["href"] for a in page.all("a") if a["href"].startswith("#")] == ["#s1", "#s2"]
    classes = [attributes.get("class") for attributes in page.all("section")]
    assert classes.count("warnings") == 1
    assert classes[0] == "warnings"
    assert "small_2: one seed for lora: the spread is unknown." in page.texts


def test_runs_without_a_result_make_a_page(small):
    small.add("lora", 0, hits=[[90]], manifest={"status": "stopped"})
    page = Outline(render_page(load_runs([small.root])))
    assert "No run has finished yet." in page.texts


def test_ours_stand_beside_the_paper(tmp_path):
    made = MadeUp(
        tmp_path, stream="cub200_10", task_sizes=(20,) * 10, backbone="vit_base_patch16_224.augreg2_in21k_ft_in1k"
    )
    made.add("sdlora", 0, hits=[[80] * (i + 1) for i in range(10)])
    texts = Outline(render_page(load_runs([tmp_path]))).texts
    place = texts.index("AAA, paper")
    cells = [text for text in texts[place:] if text.strip()][1:7]
    assert cells == ["sdlora", "80.0", "77.5", "+2.5", "80.0", "85.6"]


def test_repeating_needs_command_recipe_and_hashes(full_folder, outline):
    texts = outline.texts
    assert f"sdlora train {full_folder}/glyphs_10/sdlora/seed0/recipe.toml" in texts
    assert any('name = "sdlora"' in text and "lr = 0.01" in text for text in texts)
    text = " ".join(texts)
    assert f"stream {4:064x}" in text
    assert "sha256 41bf9c1e" in text
    assert "torch 2.15.0" in text


HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>", "</svg><script>alert(1)</script>", "</pre></details><script>x</script>",
    "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>", "<b>bold</b>",
    "<!--", "-->", "<!-- --!><b>", "<![CDATA[", "]]>", "<!DOCTYPE x>", "<?php ?>", "<?xml-stylesheet href='x'?>",
    '"', "'", '" onmouseover="alert(1)', "' onmouseover='alert(1)", '"><b>', "'><b>", "` onload=x", "/>", ">", "<", "&",
    "&lt;b&gt;", "&#60;b&#62;", "&#x3c;b>", "&notit;", "&amp", "javascript:alert(1)", "data:text/html,<b>x</b>",
    "{{ 7*7 }}", "{% for x in y %}", "{# x #}", "${7*7}", "<template><b>", "<math><mtext><b>", "<a href=//evil>x</a>",
    "<iframe src=//evil>", "<base href=//evil>", "<meta http-equiv=refresh content=0>", "<plaintext>", "<textarea>",
    "</textarea><b>", "<xmp><b>", "<noscript><b>", "\x1b[31mred", "line\nbreak\r\n<b>", "tab\t<b>", "nul\x00<b>",
    "\u202e<b>", "\u2028<b>", "\ud800<b>", "\ufeff<b>", "＜script＞", "%3Cscript%3E", "\\x3cscript\\x3e",
    "=cmd|'/C calc'!A1",
]  # fmt: skip


def page_with(folder, name):
    """Build a page in which everything that a person can name is called `name`."""
    made = MadeUp(folder, stream="place_2", task_sizes=(2, 2), backbone=name, sha256=name)
    classes = [f"{name} {k}" for k in range(4)]
    stream = {"name": name, "digest": name, "classes": classes, "tasks": [classes[:2], classes[2:]]}
    texts = {"device": name, "dtype": name, "sdlora": name, "versions": {name: name}, "hardware": {name: name}}
    counts = [[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]]
    for method, folder_name, last in (("sdlora", "a", 80), (name, "b", 60)):
        for seed in (0, 1):
            path = made.add(
                method, seed, name=folder_name, hits=[[90], [80, last - seed]], manifest={"stream": stream, **texts},
                recipe={"stream": {"dataset": name, name: name}}, preset=name,
                cost={"one_pass": False}, confusion=counts,
            )  # fmt: skip
            (path / "recipe.toml").write_text(f"# {name}", encoding="utf-8", errors="replace")
    made.add("lora", 0, hits=[[90]], manifest={"stream": stream, "status": "stopped", **texts})
    return Outline(render_page(load_runs([folder])))


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    return page_with(tmp_path_factory.mktemp("harmless"), "harmless")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_changes_the_structure_of_the_page(harmless, tmp_path, name):
    found = page_with(tmp_path, name)
    assert found.shape == harmless.shape
    assert "harmless" in harmless.texts
    assert any(printable(name) in text for text in found.texts)


def test_there_are_at_least_fifty_hostile_names():
    assert len(set(HOSTILE)) >= 50
