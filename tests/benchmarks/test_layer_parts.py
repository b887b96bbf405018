import torch

from benchmarks import layer_parts


def test_a_line_for_every_part_and_type(capsys):
    layer_parts.main(["--width", "12", "--tokens", "20", "--rank", "2", "--tasks", "1", "3", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    names = list(layer_parts.parts(12, 20, 1, 2, torch.float32))
    assert [line[:42].rstrip() for line in lines] == [
        "float32, milliseconds at task",
        *names,
        "bf16, milliseconds at task",
        *names,
    ]
    assert [line.split()[-2:] for line in lines if "task" in line] == [["1", "3"]] * 2


def test_the_adapted_layer_gets_all_its_gradients():
    runs = layer_parts.parts(12, 20, 3, 2, torch.bfloat16)
    run = next(run for name, run in runs.items() if name.startswith("adapted"))
    run()
    layer = run.__closure__[0].cell_contents
    trained = [p for p in layer.parameters() if p.requires_grad]
    assert len(trained) == 4
    assert all(p.grad is not None and p.grad.any() for p in trained)
    assert layer.magnitudes.values.grad.shape == (3,)
