"""A table that may be missing."""

from __future__ import annotations

import pandas as pd

from lvo_kedro.datasets import OptionalTable


def test_a_missing_table_is_there_and_empty_and_a_written_one_comes_back(tmp_path):
    dataset = OptionalTable(
        filepath=(tmp_path / "table.csv").as_posix(), save_args={"index": False}
    )
    assert dataset.exists()
    assert dataset.load().empty
    table = pd.DataFrame({"change": ["noise_10"], "value": [0.5]})
    dataset.save(table)
    pd.testing.assert_frame_equal(dataset.load(), table)
