"""The methods, all behind the six hooks of `sdlora.methods.base.Method`; importing a module registers its method."""

from sdlora.methods import (  # noqa: F401
    coda_prompt,
    dualprompt,
    ease,
    finetune,
    hide_prompt,
    inflora,
    joint,
    l2p,
    lora,
    probe,
    ranpac,
    sdlora,
    simplecil,
)
from sdlora.methods.base import METHODS, Facts, Method, Origin, ParamGroup

__all__ = ["METHODS", "Facts", "Method", "Origin", "ParamGroup"]
