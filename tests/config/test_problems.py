from sdlora.config.problems import Problem, dotted, recipe_error, short


def test_problems_stand_in_the_order_of_the_file():
    problems = [
        Problem(("optim", "lrr"), "unknown key. Did you mean optim.lr?"),
        Problem(("method", "rank"), ' = "ten". Expected: integer from 1 to 384'),
        Problem(("optim", "lr"), "missing. Expected: number above 0"),
        Problem(("method", "rank"), ' = "ten". Expected: integer from 1 to 384'),
        Problem(("run",), "missing. Expected: table"),
        Problem(("run", "device"), " = 3. Expected: text"),
    ]
    lines = {("optim",): 12, ("optim", "lrr"): 14, ("method", "rank"): 10}
    assert str(recipe_error("my.toml", problems, lines, {("run", "device")})).splitlines() == [
        "my.toml has 5 problems.",
        "  override  run.device = 3. Expected: text",
        "  run: missing. Expected: table",
        '  line 10  method.rank = "ten". Expected: integer from 1 to 384',
        "  line 12  optim.lr: missing. Expected: number above 0",
        "  line 14  optim.lrr: unknown key. Did you mean optim.lr?",
    ]


def test_one_problem_and_very_many():
    assert str(recipe_error("a", [Problem(("x",), "y")], {}, set())) == "a has 1 problem.\n  x: y"
    many = str(recipe_error("a", [Problem((f"k{i:03}",), "y") for i in range(500)], {}, set())).splitlines()
    assert (many[0], many[-1], len(many)) == ("a has 500 problems.", "  and 480 more", 22)


def test_names_are_cut_and_printable():
    assert short("ab", 2) == "ab"
    assert short("abc", 2) == "a…"
    assert dotted(("run", "a\x1b[2Jb\n")) == "run.a?[2Jb?"
