import onnx
import onnxruntime
import pytest
import torch
from export.taught import small, taught

from sdlora.errors import ConfigError
from sdlora.export.onnx_graph import INPUT, OUTPUT, Classifier, onnx_bytes
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow


ALWAYS = ("l2p", "sdlora")  # one that picks prompts by sorting, one that merges
CASES = [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]


def images(count):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))


def run(graph, batch):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: batch.numpy()})[0])


def agree(parts, graph):
    for count in (1, 3, 8):
        expected = parts.method(images(count)).softmax(dim=1)
        torch.testing.assert_close(run(graph, images(count)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_images_gives_the_probabilities_of_the_method(name):
    parts = taught(name)
    agree(parts, onnx_bytes(parts.method))


@pytest.mark.parametrize("name", ["ViTModel", "Dinov2Model", "CLIPModel"])
def test_models_of_transformers(name):
    parts = taught(backbone=small(name))
    agree(parts, onnx_bytes(parts.method))


def test_the_graph_is_valid_and_its_ends_have_names():
    graph = onnx.load_from_string(onnx_bytes(taught().method))
    onnx.checker.check_model(graph, full_check=True)
    (given,), (found,) = graph.graph.input, graph.graph.output
    assert (given.name, found.name) == ("image", "probability")
    assert [dim.dim_value or "free" for dim in given.type.tensor_type.shape.dim] == ["free", 3, 16, 16]
    assert [dim.dim_value or "free" for dim in found.type.tensor_type.shape.dim] == ["free", 5]


def test_of_equal_prompts_the_first_is_chosen_as_in_sdlora():
    parts = taught("l2p", pool_size=4, num_selected=2)
    with torch.no_grad():
        parts.method.keys.copy_(parts.method.keys[:1].expand(4, -1))
    agree(parts, onnx_bytes(parts.method))


def test_the_method_stays_as_it_is():
    parts = taught("ease")
    before = {key: value.clone() for key, value in parts.method.state_dict().items()}
    classifier = Classifier(parts.method)
    assert isinstance(classifier.method.head.num_fitted, int)
    after = parts.method.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    torch.testing.assert_close(classifier(images(3)).sum(dim=1), torch.ones(3))


def test_what_the_exporter_cannot_express_is_told():
    class Wilful(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :2] if images.sum() > 0 else images.flatten(1)[:, 2:4]

    parts = taught("probe")
    parts.method.backbone.model = Wilful()
    with pytest.raises(ConfigError, match="probe cannot be written as an ONNX graph"):
        onnx_bytes(parts.method)
