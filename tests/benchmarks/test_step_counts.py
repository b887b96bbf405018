"""What a whole training step computes and keeps, counted: a guard against slowing down that no load can disturb."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.subjects import CLASSES, at_task, build, floor, random_backbone, subjects
from sdlora.backbones.vit import load_backbone
from sdlora.methods import METHODS

WIDTH, DEPTH, SLICES, RANK = 32, 2, 2, 3
NUM_IMAGES, NUM_TOKENS = 30, 5


def counted(method, number):
    """Return FLOPs of a step, and bytes that its forward pass saves besides parameters and buffers."""
    own = {t.untyped_storage().data_ptr() for t in [*method.parameters(), *method.buffers()]}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.rand(NUM_IMAGES, 3, 16, 16)
    labels = CLASSES * (number - 1) + torch.arange(NUM_IMAGES) % CLASSES
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = method.losses(images, labels)["cross_entropy"]
        loss.backward()
    return counter.get_total_flops(), sum(saved.values())


def of_sdlora(number):
    chosen = subjects(["sdlora"], [number], RANK)[1]
    return counted(build(chosen, random_backbone("untrained_vit", None)), number)


def added_flops(number):
    """Multiply-adds on top of the floor, from the formulas in docs/performance.md; two FLOPs each."""
    n, d, old, new = NUM_IMAGES * NUM_TOKENS, WIDTH, RANK * (number - 1), RANK
    fold = (old + new) * d * d
    low_rank = n * d * (2 * old + 4 * new)
    dense = d * d * (n + old + 2 * new)
    return 2 * DEPTH * SLICES * (fold + min(low_rank, dense))


@pytest.fixture(scope="module")
def floor_counts():
    return counted(floor(load_backbone("untrained_vit")), 1)


@pytest.mark.parametrize("number", [1, 20])
def test_a_step_computes_the_floor_a_fold_and_the_cheaper_gradients(number, floor_counts):
    assert of_sdlora(number)[0] - floor_counts[0] == added_flops(number)


def test_a_step_keeps_inputs_and_folded_weights_and_nothing_for_each_direction(floor_counts):
    inputs = DEPTH * NUM_IMAGES * NUM_TOKENS * WIDTH * 4
    weights = (DEPTH - 1) * 3 * WIDTH * WIDTH * 4  # the first block's input needs no gradient
    first = of_sdlora(1)[1] - floor_counts[1]
    assert first == inputs + weights
    coefficients = DEPTH * SLICES * RANK * 19 * (4 + 8)  # one a row, and the row's task
    assert 0 < of_sdlora(20)[1] - floor_counts[1] - first <= coefficients


def test_the_loop_is_told_from_the_fold_by_these_counts(floor_counts):
    loop = build(subjects(["loop"], [20], RANK)[1], random_backbone("untrained_vit", None))
    flops, saved = counted(loop, 20)
    assert flops > of_sdlora(20)[0]
    assert saved - floor_counts[1] > 5 * (of_sdlora(20)[1] - floor_counts[1])


def test_blocks_before_the_first_adapted_projection_keep_no_graph():
    saved = {}
    for target in ("blocks.0.attn.qkv", "blocks.1.attn.qkv"):
        backbone = load_backbone("untrained_vit")
        method = at_task(METHODS.get("sdlora")(backbone, targets=[f"{target}:q"], rank=RANK), 2)
        graphs: list[bool] = []

        def note(module, inputs, output, graphs=graphs):
            graphs.append(output.requires_grad)

        for block in backbone.model.blocks:
            block.register_forward_hook(note)
        saved[target] = counted(method, 2)
        assert graphs == [target.startswith("blocks.0"), True]
    assert saved["blocks.1.attn.qkv"][1] < 0.6 * saved["blocks.0.attn.qkv"][1]
    one_block = 2 * NUM_IMAGES * NUM_TOKENS * 12 * WIDTH * WIDTH
    assert saved["blocks.0.attn.qkv"][0] - saved["blocks.1.attn.qkv"][0] >= one_block
