"""What shapes a Pathfinder image, and the values LRA gives it."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Paddles per target curve: the release's folders curv_baseline, curv_contour_length_9
# and curv_contour_length_14; the LRA tables are about "hard".
CONTOUR_LENGTHS: Mapping[str, int] = MappingProxyType(
    {"easy": 6, "intermediate": 9, "hard": 14}
)


@dataclasses.dataclass(frozen=True)
class Style:
    """Everything that shapes an image; lengths are in pixels."""

    size: int  # height and width
    padding: int  # width of the border that paddles stay out of
    antialias_scale: int  # stamps are drawn this much larger, then shrunk
    paddle_length: int  # of one dash
    paddle_thickness: float
    paddle_margins: tuple[int, ...]  # distance kept around paddles, one drawn per image
    paddle_contrast: float  # factor on the brightness of target paddles only
    snake_contrast: float  # brightness of curves; a disc has 1
    # Between the starts of the two target curves; the first lies at least twice as far
    # from every edge.
    seed_distance: int
    marker_radius: float  # of the discs
    contour_length: int  # paddles per target curve
    continuity: float  # turns of `pi / (2 * continuity)` and more never happen
    num_distractors: int  # curves tried besides the two
    distractor_length: int  # paddles in each
    # Repeat the original's refusal of most first orientations.
    # LRA: where the shape it searches room with lies off center, cv2.dilate leaves
    # -DBL_MAX in a corner, and the original takes that for "no room". With margin 1
    # most orientations are always refused (330 of 360 at size 32, 265 at 64). Kept, for
    # it makes images sparser: at size 32 the mean pixel is 20.2 with it, 27.6 without.
    refuse_orientations: bool = True
    # Spread each image over 0..255; otherwise 255 is contrast 1, and clipped.
    # LRA: scipy.misc.imsave stretches minimum to maximum. At size 32 distractors
    # (contrast 2) are brighter than targets (2 x 0.75) and discs (1), so how bright
    # those two are depends on whether a distractor was placed.
    stretch: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn (ValueError)."""
        reach = self.paddle_length + 2 * max(self.paddle_margins)
        if (self.paddle_thickness * self.antialias_scale) % 1:
            raise ValueError("paddle_thickness * antialias_scale must be whole")
        if min(self.padding, self.distractor_length, self.contour_length - 1) < 1:
            raise ValueError(
                "need padding, distractor_length >= 1, contour_length >= 2"
            )
        if self.seed_distance < reach or 4 * self.seed_distance + reach > self.size:
            raise ValueError(
                f"seed_distance {self.seed_distance} must lie between {reach} (paddle "
                f"and margins) and {(self.size - reach) // 4} (a quarter of the rest)"
            )


def lra_style(
    size: int, contour_length: int = 14, num_distractors: int | None = None
) -> Style:
    """Return the style LRA documents for images of 32, 64, 128 or 256 pixels.

    The numbers are those in the docstrings of LRA's TFDS builders (data/pathfinder.py);
    what they leave out has the default of the original's snakes2_wrapper.py. Every
    contrast list there has one entry, hence the plain numbers here.

    >>> lra_style(32).num_distractors
    5

    Raises:
      ValueError: LRA has no images of that size.
    """
    sizes = (32, 64, 128, 256)
    if size not in sizes:
        raise ValueError(f"LRA has no Pathfinder images of size {size}; have: {sizes}")

    def pick(*values: Any) -> Any:
        return values[sizes.index(size)]

    distractor_length = contour_length // 3
    if num_distractors is None:
        # LRA: "20 // distractor_length" at size 32. The wrapper evaluates that at
        # contour length 6 and keeps the result for 9 and 14, which makes 10; the
        # docstring sets contour length 14 first, which makes 5. Like the docstring.
        num_distractors = pick(20, 22, 35, 30) // distractor_length
    return Style(
        size=size,
        padding=pick(1, 1, 1, 22),
        antialias_scale=2,
        paddle_length=pick(2, 5, 5, 5),
        paddle_thickness=pick(0.5, 1, 1.5, 2),
        paddle_margins=pick((1,), (1,), (2, 3), (3,)),
        paddle_contrast=pick(0.75, 1, 1, 1),
        snake_contrast=pick(2, 0.8, 0.9, 1),
        seed_distance=pick(7, 12, 20, 27),
        marker_radius=pick(1.5, 2.5, 3, 5),
        contour_length=contour_length,
        continuity=pick(1, 1.8, 1.8, 1.8),
        num_distractors=num_distractors,
        distractor_length=distractor_length,
    )
