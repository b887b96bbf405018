"""Adapters for any torch module: injected into its linear layers, folded into them, taken out again."""

from sdlora.adapters.adapter import LinearAdapter
from sdlora.adapters.folded import Factor, fold, folded_linear
from sdlora.adapters.inject import adapters_of, find_targets, inject, remove
from sdlora.adapters.lora import LoRALinear
from sdlora.adapters.merge import merge, merge_, unmerge_
from sdlora.adapters.presets import PRESETS, Preset
from sdlora.adapters.ranks import RankSchedule
from sdlora.adapters.sdlora import Magnitudes, SDLoRAAdapters, SDLoRALinear

__all__ = [
    "PRESETS",
    "Factor",
    "LinearAdapter",
    "LoRALinear",
    "Magnitudes",
    "Preset",
    "RankSchedule",
    "SDLoRAAdapters",
    "SDLoRALinear",
    "adapters_of",
    "find_targets",
    "fold",
    "folded_linear",
    "inject",
    "merge",
    "merge_",
    "remove",
    "unmerge_",
]
