"""Tables that only some runs make."""

from __future__ import annotations

import pandas as pd
from kedro_datasets.pandas import CSVDataset


class OptionalTable(CSVDataset):
    """A CSV table that may be missing: it is then empty, without columns.

    For what is computed on demand and shown where it is there.
    """

    def load(self) -> pd.DataFrame:
        """Return the table, or an empty one."""
        return super().load() if super()._exists() else pd.DataFrame()

    def _exists(self) -> bool:
        return True  # a pipeline that shows the table runs without it as well
