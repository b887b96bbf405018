"""Class-incremental learning with pretrained vision transformers: SD-LoRA and its peers under one protocol.

    sdlora.adapters    layers and injection for any torch module
    sdlora.methods     the learners, behind six hooks
    sdlora.streams     tasks and batches from any dataset
    sdlora.metrics     Acc, AAA, forgetting, transfer, from integers
    sdlora.engine      training with exact resume

Importing the package imports none of them.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
