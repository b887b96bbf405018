import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlora.config.load import MOST_BYTES, load_recipe, parse_recipe
from sdlora.errors import ConfigError

GOOD = b"""
[run]
seeds = [0, 1]
output_dir = "runs/x"

[stream]
dataset = "digits"
num_tasks = 5

[backbone]
name = "untrained_vit"
options = { width = 64 }

[method]
name = "finetune"

[optim]
name = "adam"
lr = 1
epochs = 2
batch_size = 8
"""


def test_a_good_recipe():
    recipe = parse_recipe(GOOD, name="good")
    assert recipe.run.seeds == (0, 1)
    assert recipe.run.precision == "float32"
    assert recipe.optim.lr == 1.0
    assert recipe.method.model_dump() == {"name": "finetune", "head_lr_scale": 1.0}
    assert recipe.backbone.options.width == 64
    assert recipe.backbone.options.depth == 2
    assert recipe.data.model_dump(exclude_none=True) == {}


def test_overrides_are_checked_like_the_file():
    recipe = parse_recipe(
        GOOD, ["optim.lr=0.5", "data.flip=true", "optim.schedule={epochs=[1],factor=0.1}"], name="good"
    )
    assert (recipe.optim.lr, recipe.data.flip, recipe.optim.schedule.epochs) == (0.5, True, (1,))
    with pytest.raises(ConfigError, match=r'override  optim\.lr = "fast"\. Expected: number above 0'):
        parse_recipe(GOOD, ["optim.lr=fast"], name="good")


def test_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(GOOD)
    assert load_recipe(str(path)) == parse_recipe(GOOD, name="mine")
    path.write_bytes(GOOD.replace(b"epochs = 2", b"epoch = 2"))
    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))
    assert str(error.value).splitlines() == [
        f"{path} has 2 problems.",
        "  line 17  optim.epochs: missing. Expected: integer from 1 to 1000000",
        "  line 20  optim.epoch: unknown key. Did you mean optim.epochs?",
    ]


def test_a_folder_is_no_recipe(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="there is no file"):
        load_recipe(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"#" * (MOST_BYTES + 1), "larger than"),
        (b"x = " + b"[" * 40 + b"]" * 40, "nested deeper than 32"),
        (b"x = " + b"[" * 30_000 + b"]" * 30_000, "nested deeper than 32"),
        (b"[" + b".".join([b"a"] * 20_000) + b"]", "nested deeper than 32"),
        (b"x = 1\nx = 2", "is no TOML"),
        (b"\xff\xfe", "is no TOML"),
        (b"x = " + b"9" * 50_000, "is no TOML"),
        (b"run = 3", "problems"),
        (b"", "has 9 problems"),
    ],
)
def test_what_is_no_recipe(data, words):
    with pytest.raises(ConfigError, match=words):
        parse_recipe(data, name="bad")


KEYS = [
    "run",
    "seeds",
    "stream",
    "optim",
    "lr",
    "name",
    "method",
    "dataset",
    "data",
    "flip",
    "schedule",
    "epochs",
    "\x00",
]
SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["sgd", "digits", "finetune", "untrained_vit", "x", "simplecil", ""])
)
TREES = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(KEYS), part, max_size=5),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_any_document_is_a_recipe_or_a_list_of_problems(document):
    from sdlora.config.write import to_toml, toml_value

    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    rest = {key: value for key, value in document.items() if not isinstance(value, dict)}
    text = "".join(f"{toml_value(key)} = {toml_value(value)}\n" for key, value in rest.items()) + to_toml(tables)
    with pytest.raises(ConfigError, match=r"has \d+ problem"):  # no output_dir can come out of these words
        parse_recipe(text.encode(), name="made up")


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_users_mistake(data):
    with pytest.raises(ConfigError):
        parse_recipe(data, name="made up")
