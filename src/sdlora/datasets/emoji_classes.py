"""What ``emoji100`` is made of: one hundred emoji, and the sets that draw them, frozen before any method was compared.

Every emoji is drawn by all eight sets. Left out are near duplicates (clocks, hearts of other colours, skin tones,
flags) and emoji that sets read differently, such as the pistol.
"""

from __future__ import annotations

_KINDS: dict[str, dict[str, int]] = {
    "animals": {
        "dog face": 0x1F436,
        "cat face": 0x1F431,
        "mouse face": 0x1F42D,
        "rabbit face": 0x1F430,
        "bear": 0x1F43B,
        "panda": 0x1F43C,
        "tiger face": 0x1F42F,
        "cow face": 0x1F42E,
        "pig face": 0x1F437,
        "frog": 0x1F438,
        "monkey face": 0x1F435,
        "penguin": 0x1F427,
        "horse face": 0x1F434,
        "snake": 0x1F40D,
        "turtle": 0x1F422,
        "octopus": 0x1F419,
        "tropical fish": 0x1F420,
        "spouting whale": 0x1F433,
        "snail": 0x1F40C,
        "honeybee": 0x1F41D,
        "elephant": 0x1F418,
    },
    "plants": {
        "rose": 0x1F339,
        "sunflower": 0x1F33B,
        "cactus": 0x1F335,
        "palm tree": 0x1F334,
        "four leaf clover": 0x1F340,
        "mushroom": 0x1F344,
    },
    "food": {
        "red apple": 0x1F34E,
        "grapes": 0x1F347,
        "watermelon": 0x1F349,
        "strawberry": 0x1F353,
        "cherries": 0x1F352,
        "lemon": 0x1F34B,
        "pear": 0x1F350,
        "hamburger": 0x1F354,
        "pizza": 0x1F355,
        "doughnut": 0x1F369,
        "birthday cake": 0x1F382,
        "candy": 0x1F36C,
        "bread": 0x1F35E,
        "french fries": 0x1F35F,
        "beer mug": 0x1F37A,
        "wine glass": 0x1F377,
        "soft ice cream": 0x1F366,
    },
    "transport": {
        "airplane": 0x2708,
        "automobile": 0x1F697,
        "bus": 0x1F68C,
        "bicycle": 0x1F6B2,
        "sailboat": 0x26F5,
        "rocket": 0x1F680,
        "helicopter": 0x1F681,
        "tractor": 0x1F69C,
        "locomotive": 0x1F682,
        "anchor": 0x2693,
        "vertical traffic light": 0x1F6A6,
    },
    "places and sky": {
        "ferris wheel": 0x1F3A1,
        "rainbow": 0x1F308,
        "sun with face": 0x1F31E,
        "crescent moon": 0x1F319,
        "cloud": 0x2601,
        "umbrella with rain drops": 0x2614,
        "snowflake": 0x2744,
        "high voltage": 0x26A1,
        "fire": 0x1F525,
    },
    "objects": {
        "hourglass done": 0x231B,
        "telephone": 0x260E,
        "television": 0x1F4FA,
        "wrench": 0x1F527,
        "briefcase": 0x1F4BC,
        "wrapped gift": 0x1F381,
        "balloon": 0x1F388,
        "bell": 0x1F514,
        "guitar": 0x1F3B8,
        "saxophone": 0x1F3B7,
        "microphone": 0x1F3A4,
        "glasses": 0x1F453,
        "crown": 0x1F451,
        "jeans": 0x1F456,
        "dress": 0x1F457,
        "high-heeled shoe": 0x1F460,
        "lipstick": 0x1F484,
        "ring": 0x1F48D,
        "door": 0x1F6AA,
        "toilet": 0x1F6BD,
        "bomb": 0x1F4A3,
        "pill": 0x1F48A,
        "syringe": 0x1F489,
        "microscope": 0x1F52C,
        "american football": 0x1F3C8,
    },
    "figures and symbols": {
        "ghost": 0x1F47B,
        "alien": 0x1F47D,
        "skull": 0x1F480,
        "jack-o-lantern": 0x1F383,
        "christmas tree": 0x1F384,
        "thumbs up": 0x1F44D,
        "eyes": 0x1F440,
        "recycling symbol": 0x267B,
        "musical note": 0x1F3B5,
        "spade suit": 0x2660,
        "heart with arrow": 0x1F498,
    },
}

CODEPOINTS: dict[str, int] = {name: code for kind in _KINDS.values() for name, code in kind.items()}
"""Class name to Unicode codepoint, in the dataset's order."""

TRAIN_HANDS = ("noto", "noto_v1", "twemoji", "openmoji", "emojione")
TEST_HANDS = ("fluent", "fxemoji", "streamline")
HANDS = {"train": TRAIN_HANDS, "test": TEST_HANDS}
"""Sets that draw the images of each split; no artist's set is in both."""

FETCH = "python scripts/fetch_emoji.py"

DRAWINGS: dict[str, str] = {
    "noto": "749ffb3e2d8c24d6d7561923d85fa0034af299e88a3229a3d5dc6ca37105e441",
    "noto_v1": "90f7fa32fd441fe486603159276660d8894e8c3ebf0de918da2ece61858de034",
    "twemoji": "634ed424af5b5a84d9b6e253f53e54fbd2711e81029015bb356e303d15c0b26c",
    "openmoji": "e629839ba241906d853b3755da6f6377731a865ea8ddfe4ed0c575c33a0dd7bc",
    "emojione": "ea536c6117e336852613192d7809ed4efb8eeef4c31fe4da94cfe4cb2440d918",
    "fluent": "986d3acbacd6a4b4d03a9f34cd8fe37b965a9ec529e1d8bb922d8a9ea35ba30b",
    "fxemoji": "4d4fa62f64ea73a54e9de0bfd78b6da71e8038484f0b7992fdb3ce557a6dcb69",
    "streamline": "407150e119a6f6f9c13a570774c222cb02cffeef581b17ce9d963b01ad770503",
}
"""sha256 over the drawings of each set, as `sdlora.datasets.emoji.drawings_digest` takes it."""
