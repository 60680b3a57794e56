"""Many scans: what is asked for, results as they come, and a summary of times."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lvo_kedro.artifacts import write_json
from lvo_kedro.cohort import scan_id
from lvo_kedro.errors import CaseError
from lvo_kedro.progress import duration
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lvo_kedro.scoring.scorer import Result, Scorer
    from lvo_kedro.scoring.sources import Source

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"


class Scored(NamedTuple):
    """How one of many ended.

    Attributes:
        scan: As it was found.
        result: None where it could not even be read.
        error: Why that was, in words.
    """

    scan: Path
    result: Result | None
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no result that means anything."""
        return self.result is None or self.result.failed


def score_all(
    scorer: Scorer, sources: Sequence[Source], tell: Callable[[str], None]
) -> Iterator[Scored]:
    """Score scans one after the other; one that fails does not end the batch.

    Args:
        scorer: With its models.
        sources: Of :func:`~lvo_kedro.scoring.sources.find_sources`.
        tell: Is told how far it is and how long it will still take.

    Yields:
        Each scan as it ends; one with the content of an earlier one gets that one's result.
    """
    start, known = time.monotonic(), dict[str, Scored]()
    for number, source in enumerate(sources):
        left = ""
        if number:
            rest = (time.monotonic() - start) / number * (len(sources) - number)
            left = f", {duration(rest)} left"
        tell(f"scan {number + 1} of {len(sources)}{left}")
        try:
            with source.scan() as scan:
                case = _id(scan)
                done = known.get(case) or score_one(scorer, scan)
        except CaseError as error:  # no series of a study could be chosen
            yield Scored(source.shown, None, str(error))
            continue
        known[case] = done
        yield done._replace(scan=source.shown)


def score_one(scorer: Scorer, scan: Path) -> Scored:
    """Score one scan; whatever goes wrong is told, and the next one may come."""
    try:
        return Scored(scan, scorer.score(scan))
    except CaseError as error:
        return Scored(scan, None, str(error))
    except Exception as error:
        logger.debug("a scan could not be scored", exc_info=True)
        words = f"{type(error).__name__} while it was scored; see the log with --verbose"
        return Scored(scan, None, words)


def _id(scan: Path) -> str:
    try:
        return scan_id(str(scan))
    except OSError:
        return str(scan)


def summarize(done: Sequence[Scored]) -> dict[str, Any]:
    """Return what a batch came to.

    Args:
        done: All scans of the batch.

    Returns:
        Counts by status, and the seconds of a scan that was scored: the first, which loads the
        models, and median and 95th percentile of the others; None where there are none.
    """
    records = [item.result.record for item in done if item.result]
    totals = [r["seconds"]["total"] for r in records if r["status"] != "failed"]
    later = totals[1:]
    return {
        "research_only": RESEARCH_ONLY,
        "scans": len(done),
        "scored": sum(record["status"] == "scored" for record in records),
        "no_call": sum(record["status"] == "no_call" for record in records),
        "failed": sum(item.failed for item in done),
        "seconds": {
            "first": totals[0] if totals else None,
            "median": round(float(np.median(later)), 2) if later else None,
            "p95": round(float(np.percentile(later, 95)), 2) if later else None,
        },
        "cases": [record["case_id"] for record in records],
    }


def write_summary(done: Sequence[Scored], out: Path) -> dict[str, Any]:
    """Write what a batch came to beside the folders of its scans, and return it."""
    summary = summarize(done)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / SUMMARY, summary)
    return summary
