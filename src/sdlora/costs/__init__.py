"""What a method costs and keeps, measured on the method itself: memory of old data, passes, FLOPs, time, gradients."""

from sdlora.costs.cost import Cost, measure
from sdlora.costs.kept import kept_bytes, kept_numbers
from sdlora.costs.made_up import teach_made_up

__all__ = ["Cost", "kept_bytes", "kept_numbers", "measure", "teach_made_up"]
