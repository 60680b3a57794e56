"""From one new scan to one result: every stage's models, loaded once.

The pipeline ``inference`` is the one definition of what happens to a new scan; this package runs
it scan by scan, and writes what came of it.
"""

from lvo_kedro.scoring.bundle import open_bundle, write_bundle
from lvo_kedro.scoring.models import Models, models_of
from lvo_kedro.scoring.record import check_record, result_schema
from lvo_kedro.scoring.scorer import Result, Scorer

__all__ = [
    "Models",
    "Result",
    "Scorer",
    "check_record",
    "models_of",
    "open_bundle",
    "result_schema",
    "write_bundle",
]
