"""The methods, all behind the six hooks of `sdlora.methods.base.Method`; importing a module registers its method."""

from sdlora.methods import finetune, joint, lora, probe, sdlora, simplecil
from sdlora.methods.base import METHODS, Facts, Method, ParamGroup

__all__ = ["METHODS", "Facts", "Method", "ParamGroup", "finetune", "joint", "lora", "probe", "sdlora", "simplecil"]
