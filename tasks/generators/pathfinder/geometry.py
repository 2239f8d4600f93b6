"""Check Pathfinder labels from where the curves lie and from what is drawn there.

Shares no code with the generator: it follows the recorded paddles. Pixels alone do not
settle a label: curves cross, gaps between curves can be as small as gaps between
paddles, and a distractor can join what belongs apart, so that different curves can make
the same image. Pixels do show whether a record belongs to its image.

In 1 of 300 images of size 32 (none of size 128) both curves end at the same pixel, as
nothing in the original prevents; either label is true of them.
"""

import numpy as np

from tasks.generators.pathfinder.images import Batch
from tasks.generators.pathfinder.style import Style
from tasks.task import DataError


def check(style: Style, batch: Batch) -> None:
    """Compare every label with the geometry, and the geometry with the image.

    Raises:
      DataError: a label is wrong, a curve broken, or an image does not show its curves.
    """
    tests = (
        (are_unbroken(style, batch), "has a curve with a wrong paddle"),
        (labels_hold(batch), "has discs that contradict its label"),
        (show_record(batch), "does not show the curves and discs recorded for it"),
    )
    for passed, complaint in tests:
        if not passed.all():
            raise DataError(
                f"image {int(passed.argmin())} of {len(passed)} {complaint}; "
                "delete the generated data and generate it again"
            )


def labels_hold(batch: Batch) -> np.ndarray:
    """Return whether discs mark a start and its end or, label 0, the other's, (n,)."""
    starts_at = (batch.curves[:, :, 0, 0] == batch.markers[:, None, 0]).all(-1)
    ends_at = (batch.curves[:, :, -1, 1] == batch.markers[:, None, 1]).all(-1)
    same, other = starts_at & ends_at, starts_at & ends_at[:, ::-1]
    return np.where(batch.labels == 1, same.any(-1), other.any(-1))


def are_unbroken(style: Style, batch: Batch) -> np.ndarray:
    """Return whether paddles have the right length and follow each other, bool (n,)."""
    near, far = batch.curves[..., 0, :], batch.curves[..., 1, :]
    along = far - near
    lengths = np.linalg.norm(along, axis=-1)
    gaps = np.linalg.norm(near[:, :, 1:] - far[:, :, :-1], axis=-1)
    turns = (along[:, :, 1:] * along[:, :, :-1]).sum(-1) / style.paddle_length**2
    # A margin on either side of the joint, and two roundings, each in two directions.
    widest = 2 * batch.margins[:, None, None] + np.sqrt(8)
    sharpest = np.cos(np.pi / 2 / style.continuity)
    passed = (np.abs(lengths - style.paddle_length) < 1e-3).all(-1)
    passed &= (gaps <= widest).all(-1) & (turns >= sharpest - 1e-3).all(-1)
    return passed.all(-1)


def show_record(batch: Batch) -> np.ndarray:
    """Return whether there is light under each disc and target paddle, bool (n,)."""
    count = len(batch.images)
    middles = np.floor(batch.curves.mean(-2) + 0.5).reshape(count, -1, 2)
    rows, columns = np.concatenate([middles, batch.markers], 1).astype(np.int64).T
    return np.all(batch.images[np.arange(count), rows, columns] > 0, axis=0)
