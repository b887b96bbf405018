"""What a run is and what its bits depend on, and how two such descriptions differ."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from sdlora import __version__
from sdlora.engine.device import numeric_flags
from sdlora.engine.options import FitOptions
from sdlora.methods.base import Method
from sdlora.streams import Stream

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "safetensors", "numpy", "scikit-learn", "pillow")

# Where the recipe may change without changing a single bit: places, other seeds, the pace of checkpoints. What the
# device turned out to be, and what the data hashes to, are compared by themselves.
FREE = {"run.output_dir", "run.seeds", "run.device", "run.checkpoint_seconds", "stream.root"}
FIXED = ("seed", "stream.name", "stream.digest", "backbone.name", "backbone.sha256", "device", "dtype", "world_size")
DIGESTS = {"stream.digest": " (of images, labels, class order and task sizes)", "backbone.sha256": ""}
SURROUNDINGS = ("sdlora", "git", "versions", "hardware", "threads", "flags")


def describe(
    method: Method, stream: Stream, options: FitOptions, accelerator: Accelerator, recipe: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a manifest says about a run, without its status and times; values are plain JSON."""
    method_options = dict(recipe.get("method", {}))
    description = {
        "format": 1,
        "sdlora": __version__,
        "git": _git_commit(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
        "hardware": _hardware(accelerator.device),
        "threads": torch.get_num_threads(),
        "flags": numeric_flags(),
        "world_size": accelerator.num_processes,
        "device": accelerator.device.type,
        "dtype": {"float32": "float32", "bf16": "bfloat16"}[options.precision],
        "seed": options.seed,
        "backbone": {"name": method.backbone.name, "sha256": method.backbone.sha256},
        "stream": stream.describe(),
        "method": {"name": method_options.pop("name", type(method).__name__), "options": method_options},
        "recipe": recipe,
    }
    plain: dict[str, Any] = json.loads(json.dumps(description))
    return plain


def conflicts(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List every difference that makes the two different runs: ``"optim.lr = 0.008; now 0.01"``.

    A folder that moved makes no other run; where the data are other ones it is named, for it is the likely cause.
    """
    sides = _identity(old), _identity(new)
    if sides[0].get("stream.digest") != sides[1].get("stream.digest"):
        for side, description in zip(sides, (old, new), strict=True):
            side["stream.root"] = dict(_flat(description.get("recipe", {}))).get("stream.root")
    return _differences(*sides)


def changed_surroundings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List every difference in versions, hardware, threads and flags: the same run, but its bits may differ."""
    pick = [dict(_flat({key: side.get(key) for key in SURROUNDINGS})) for side in (old, new)]
    return _differences(*pick)


def _identity(description: Mapping[str, Any]) -> dict[str, Any]:
    recipe = {key: value for key, value in _flat(description.get("recipe", {})) if key not in FREE}
    facts = dict(_flat({key: value for key, value in description.items() if key != "recipe"}))
    return recipe | {key: facts.get(key) for key in FIXED}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} = {_shown(old, key)}; now {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(side: Mapping[str, Any], key: str) -> str:
    if key not in side:
        return "absent"
    if key in DIGESTS and isinstance(side[key], str):
        return f"{side[key][:8]}{DIGESTS[key]}"
    return json.dumps(side[key], ensure_ascii=False)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _hardware(device: torch.device) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    is_cuda = device.type == "cuda"
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if is_cuda else None,
        "gpu_bytes": torch.cuda.get_device_properties(device).total_memory if is_cuda else None,
    }


def _git_commit() -> str | None:
    """Return the commit this package was checked out at, with ``-dirty`` where its files differ; None if installed.

    Other files, such as the results that runs themselves write, do not matter: the recipe is in the manifest.
    """
    package = Path(__file__).parents[1]
    root = package.parents[1]
    if not (root / ".git").exists():
        return None
    place = os.fspath(root)  # named safe: git refuses a checkout that another user owns, which a container's often is
    git = ["git", "-c", f"safe.directory={place}", "-C", place]
    try:
        asked = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        differs = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", os.fspath(package)], timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() + ("-dirty" if differs.returncode else "")
