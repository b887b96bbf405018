"""Pretrain the shipped backbone on rendered characters; resumes by itself after an interruption.

Run: python scripts/pretrain_glyph_vit.py --out runs/pretraining        (see docs/backbone.md for its log and figures)

Each step draws characters and faces, distorts them afresh, and classifies them among all characters that are not held
out. bfloat16 autocast with explicit attention is twice as fast here as float32: PyTorch's fused attention spends more
time in its CPU backward than all matrix products of this model together.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from sdlora.backbones.glyph_vit import glyph_vit
from sdlora.datasets.distortion import distort
from sdlora.datasets.glyphs import HELD_OUT_SCRIPTS, characters, draw_masters

EMA = 0.998  # weight of the past in the running mean of the weights, per step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/pretraining"))
    parser.add_argument("--images", type=int, default=1_200_000, help="length of the run, images")
    parser.add_argument("--horizon", type=int, default=3_000_000, help="where the cosine would end, images")
    parser.add_argument("--cool-down", type=int, default=512_000, help="where the linear cool-down begins, images")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--lr", type=float, default=2.5e-3, help="peak learning rate")
    parser.add_argument("--no-muon", action="store_true", help="AdamW for all, not Muon for the matrices of the blocks")
    parser.add_argument("--stop-after", type=int, default=None, help="stop early after this many images (for trials)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(args.seed)
    chars = characters()["other"]
    masters = torch.from_numpy(draw_masters(chars))
    model = glyph_vit(num_classes=len(chars))
    for block in model.blocks:
        block.attn.fused_attn = False
    model = model.to(memory_format=torch.channels_last)
    average = {key: value.detach().clone() for key, value in model.state_dict().items()}
    optimizers = make_optimizers(model, args.lr, muon=not args.no_muon)
    step = restore(args.out, model, average, optimizers)
    steps, horizon, cool = (count // args.batch for count in (args.images, args.horizon, args.cool_down))
    last = steps if args.stop_after is None else min(steps, args.stop_after // args.batch)
    started, first = time.perf_counter(), step
    while step < last:
        rate = schedule(step, steps, horizon, cool)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * rate
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        labels = torch.randint(0, len(chars), (args.batch,), generator=generator)
        faces = torch.randint(0, masters.shape[1], (args.batch,), generator=generator)
        pictures = distort(masters[labels, faces][:, None].float() / 255, generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(normalise(pictures).contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        decay = min(EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value in model.state_dict().items():
                average[key].lerp_(value, 1 - decay)
        step += 1
        if step % 100 == 0:
            speed = (step - first) * args.batch / (time.perf_counter() - started)
            log(args.out, {"step": step, "images": step * args.batch, "loss": loss.item(), "images_per_second": speed})
        if step % 500 == 0 or step == last:
            store(args.out, step, model, average, optimizers)
            log(args.out, {"step": step, "images": step * args.batch, **score(average, masters)})
    ship = {key: value.to(torch.float16).contiguous() for key, value in average.items()}
    save_file(ship, args.out / "glyph_vit.safetensors")


def normalise(pictures: Tensor) -> Tensor:
    """Map 0..1 to -1..1, the input range of the shipped backbone."""
    return (pictures - 0.5) / 0.5


def schedule(step: int, steps: int, horizon: int, cool: int) -> float:
    """Return the share of the peak learning rate: warm-up, a long cosine, and a linear cool-down to 1 %.

    Args:
        step: Number of steps done.
        steps: Where the run ends.
        horizon: Where the cosine would end; 2 % of it are the warm-up.
        cool: Where the cool-down begins.
    """
    warmup = max(1, horizon // 50)
    if step < warmup:
        return (step + 1) / warmup
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (horizon - warmup)))
    return cosine * (1 if step < cool else max(0.01, (steps - step) / (steps - cool)))


def make_optimizers(model: VisionTransformer, lr: float, *, muon: bool) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if n.startswith("blocks") and p.ndim == 2] if muon else []
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True)]
    if muon:
        optimizers.append(torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"))
    return optimizers


@torch.no_grad()
def score(weights: dict[str, Tensor], masters: Tensor) -> dict[str, float]:
    """Measure the averaged weights: own characters, class means on the real digits and on 100 held-out characters."""
    model = glyph_vit(num_classes=len(masters))
    model.load_state_dict(weights)
    model.eval()
    generator = torch.Generator().manual_seed(12345)
    labels = torch.arange(len(masters)).repeat(4)
    faces = torch.randint(0, masters.shape[1], (len(labels),), generator=generator)
    pictures = distort(masters[labels, faces][:, None].float() / 255, generator)
    logits = torch.cat([model(normalise(part)) for part in pictures.split(512)])
    own = (logits.argmax(1) == labels).float().mean().item()

    digits = load_digits()
    small = torch.from_numpy(digits.images).float()[:, None] / 16
    real = F.interpolate(small, size=32, mode="bilinear", align_corners=False).expand(-1, 3, -1, -1)
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(real)))
    digit = class_means(features(model, real)[order], torch.from_numpy(digits.target)[order], len(real) * 4 // 5)

    pool = [char for script in HELD_OUT_SCRIPTS for char in characters()[script]]
    chosen = tuple(pool[i] for i in np.random.RandomState(0).permutation(len(pool))[:100])
    held = torch.from_numpy(draw_masters(chosen))
    labels = torch.arange(100).repeat(60)
    faces = torch.randint(0, held.shape[1], (len(labels),), generator=generator)
    pictures = distort(held[labels, faces][:, None].float() / 255, generator)
    held_out = class_means(features(model, pictures), labels, 4000)
    return {"own_characters": own, "digits_class_means": digit, "held_out_class_means": held_out}


def features(model: VisionTransformer, pictures: Tensor) -> Tensor:
    parts = [model.forward_head(model.forward_features(normalise(p)), pre_logits=True) for p in pictures.split(512)]
    return torch.cat(parts)


def class_means(feats: Tensor, labels: Tensor, num_train: int) -> float:
    """Classify the features after the first `num_train` by the nearest class mean in angle; return the accuracy."""
    unit = F.normalize(feats, dim=1)
    train, train_labels = unit[:num_train], labels[:num_train]
    means = torch.stack([train[train_labels == k].mean(0) for k in range(int(labels.max()) + 1)])
    guess = (unit[num_train:] @ F.normalize(means, dim=1).T).argmax(1)
    return (guess == labels[num_train:]).float().mean().item()


def log(folder: Path, row: dict[str, float]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}) + "\n")


def store(
    folder: Path,
    step: int,
    model: VisionTransformer,
    average: dict[str, Tensor],
    optimizers: list[torch.optim.Optimizer],
) -> None:
    tensors = {"step": torch.tensor(step)}
    tensors |= {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v.contiguous() for k, v in average.items()}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{k}": v.contiguous() for k, v in state.items()}
    save_file(tensors, folder / "state.partial")
    (folder / "state.partial").replace(folder / "state.safetensors")


def restore(
    folder: Path, model: VisionTransformer, average: dict[str, Tensor], optimizers: list[torch.optim.Optimizer]
) -> int:
    path = folder / "state.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for key in average:
        average[key].copy_(tensors[f"average.{key}"])
    for number, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        prefix = f"optimizer.{number}."
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, name = key.removeprefix(prefix).split(".")
                state["state"].setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(state)
    return int(tensors["step"])


if __name__ == "__main__":
    main()
