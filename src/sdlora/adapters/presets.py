"""The readings of eq. 4 of arXiv 2501.13198 that can be trained; each is data, read by `Directions` and `Magnitudes`.

    h' = W0 x + sum_k magnitude_k direction_k x

On a task everything is trained that carries a magnitude, and the newest pair B, A. The readings differ in what makes a
direction of a pair, in the magnitudes a task starts with, and so in whether the function jumps between tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdlora.adapters.pair import Divisor
from sdlora.registry import Registry


@dataclass(frozen=True)
class Preset:
    """One reading of the equation.

    Attributes:
        start: Value of a magnitude when its task begins.
        carries: Whether old magnitudes go on from where they are; otherwise all restart at `start` with each task.
        trains_unit: Whether the newest pair is normalised while it trains; then B cannot start at zero.
        divisor: What an old direction is B A divided by.
        keeps_norm: Whether |B A|_F stays behind as the scale of the old direction, one per projection.
    """

    start: float
    carries: bool
    trains_unit: bool
    divisor: Divisor
    keeps_norm: bool


PRESETS: Registry[Preset] = Registry("preset")

# The equations as they stand: direction_k = B_k A_k / |B_k A_k|_F for the newest pair too. That is 0 / 0 at B = 0, so
# B starts random, and a new task begins with a random direction of norm 1. Only the direction of a pair matters; the
# size of B at the start sets how fast it turns. Nothing else moves between tasks.
PRESETS.register("paper")(Preset(start=1.0, carries=True, trains_unit=True, divisor="product", keeps_norm=False))

# As the released code (backbone/lora.py @ 8bacded) computes it: old directions are B A / (|B|_F |A|_F); the newest pair
# is raw and starts at B = 0; all magnitudes restart at 0.8, and what they had learned is lost. So with the next task
# the function jumps: of the newest pair, from magnitude * B A to 0.8 B A / (|B|_F |A|_F).
PRESETS.register("released")(Preset(start=0.8, carries=False, trains_unit=False, divisor="factors", keeps_norm=False))

# The newest pair is raw and starts at B = 0, magnitudes go on from where they are, and a pair that becomes an old
# direction leaves |B A|_F in its projection's scale. So the function is the same before and after a task's end.
PRESETS.register("continuous")(Preset(start=1.0, carries=True, trains_unit=False, divisor="product", keeps_norm=True))
