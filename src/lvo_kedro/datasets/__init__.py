"""Kedro datasets of this project.

A *case dataset* holds one folder per case (or a fold), each with the files that the catalog names:

    data/04_feature/priors/<case>/territory_probability.nii.gz
    data/04_feature/priors/<case>/quality.json
    data/04_feature/priors/<case>/case.json          what was done, from what, and how it ended

A node returns ``{case: functools.partial(function, ...)}``; the dataset runs those partials, in
worker processes where it may, skips what is already there and unchanged, and records a case that
fails instead of ending the cohort.
"""

from lvo_kedro.datasets.cases import Case, CaseDataset, Cases, FoldDataset
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.datasets.folder import FolderDataset, ReportDataset
from lvo_kedro.datasets.images import FigureDataset, NiftiDataset
from lvo_kedro.datasets.tables import ContinuedTable, RecordTable, TextTable

__all__ = [
    "Case",
    "CaseDataset",
    "Cases",
    "ContinuedTable",
    "FigureDataset",
    "FoldDataset",
    "FolderDataset",
    "NiftiDataset",
    "RecordTable",
    "ReportDataset",
    "TextTable",
    "fingerprint",
]
