"""Made-up drawings in several hands, in the layout of ``emoji100``."""

import io

from PIL import Image, ImageDraw

from sdlora.datasets.emoji import drawing_name
from sdlora.datasets.emoji_classes import CODEPOINTS, HANDS

FEW = {label: CODEPOINTS[label] for label in ("dog face", "bear", "cloud", "fire", "skull", "heart with arrow")}
"""Some of the classes, so that most tests write dozens of files instead of 800."""


def drawing(label, hand, side=48):
    """A PNG with transparency: the class fixes the shape, the hand its colour and outline."""
    row, code = sorted(hand for hands in HANDS.values() for hand in hands).index(hand), CODEPOINTS[label]
    image = Image.new("RGBA", (side, side))
    box = (4 + code % 5, 6 + code % 7, side - 5 - code % 3, side - 7 - code % 6)
    colour = (30 * row, code * 37 % 256, code * 11 % 256, 255)
    painter = ImageDraw.Draw(image)
    (painter.ellipse if code % 2 else painter.rectangle)(box, fill=colour, outline=(0, 0, 0, 255), width=1 + row % 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_drawings(root, labels=FEW):
    """Write the drawings of some classes by every hand below `root` and return it."""
    for hands in HANDS.values():
        for hand in hands:
            for label in labels:
                path = root / drawing_name(hand, label)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(drawing(label, hand))
    return root
