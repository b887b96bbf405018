"""Adapters under torch's own data parallelism: nothing of theirs has to know."""

import pytest
import torch
from data_parallel import Learner, gradients, images, train
from safetensors.torch import load_file
from torch import multiprocessing


@pytest.mark.slow
def test_two_processes_get_the_gradients_of_one(tmp_path):
    multiprocessing.spawn(train, args=(tmp_path, 2), nprocs=2)
    alone = Learner()
    alone(images()).backward()
    expected = gradients(alone)
    assert {name.rpartition(".")[2] for name in expected} == {"lora_A", "lora_B", "values"}
    for rank in range(2):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.allclose(found[name], gradient, rtol=1e-5, atol=1e-7), name
