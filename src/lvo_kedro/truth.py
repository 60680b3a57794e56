"""What the cohort table may say of an occlusion that stage 3 has no name for.

Apart from :mod:`lvo_kedro.vocabulary`, on which all results depend: none of these words reaches a
model that names a side or a segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN: Final = "unknown"
"""Word of both columns for what nobody has looked at: labels that come later may name it."""
NO_SIDE: Final = ("both", UNKNOWN)
"""Words of the column ``side`` for an occlusion that is not known to lie on one side alone."""
NO_CLASS: Final = ("other", UNKNOWN)
"""Words of the column ``segment`` for an occlusion that is not known to be of the five classes."""


def in_detection_alone(table: pd.DataFrame) -> pd.Series:
    """Tell which cases train and test detection, but never the naming of side and segment.

    Args:
        table: A row per case: side, segment.

    Returns:
        True where one of the two is a word of :data:`NO_SIDE` or :data:`NO_CLASS`.
    """
    return table["side"].isin(NO_SIDE) | table["segment"].isin(NO_CLASS)
