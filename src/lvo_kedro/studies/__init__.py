"""From what an archive gives to a cohort: studies found, series chosen, names taken away.

:func:`import_studies` indexes an export and writes the series that it chooses of every study;
:func:`choose` is the table of points behind it, :func:`words_in` what it takes from descriptions.
:func:`read_label_table`, :func:`read_mapping` and :func:`join_labels` find the labels of studies.
:class:`Pseudonyms` gives ids, :func:`harvest` the few columns that are kept of a header,
:func:`reasons_to_refuse` says what may show a name, :func:`deface` takes the face off.
"""

from lvo_kedro.studies.choice import Choice, choose
from lvo_kedro.studies.choice_rules import ChoiceOptions
from lvo_kedro.studies.deidentify import deface, reasons_to_refuse
from lvo_kedro.studies.descriptions import words_in
from lvo_kedro.studies.importing import Imported, ImportOptions, Wanted, import_studies
from lvo_kedro.studies.kept_headers import harvest, study_time_of
from lvo_kedro.studies.label_rows import LabelMapping
from lvo_kedro.studies.label_tables import read_label_table
from lvo_kedro.studies.labels import Joined, join_labels, read_mapping
from lvo_kedro.studies.one_study import StudyScans, read_study
from lvo_kedro.studies.outcomes import StudyOutcome, choices_table, read_choices
from lvo_kedro.studies.pseudonyms import Pseudonyms, read_secret, write_link_table
from lvo_kedro.studies.sources import SourceLimits

__all__ = [
    "Choice",
    "ChoiceOptions",
    "ImportOptions",
    "Imported",
    "Joined",
    "LabelMapping",
    "Pseudonyms",
    "SourceLimits",
    "StudyOutcome",
    "StudyScans",
    "Wanted",
    "choices_table",
    "choose",
    "deface",
    "harvest",
    "import_studies",
    "join_labels",
    "read_choices",
    "read_label_table",
    "read_mapping",
    "read_secret",
    "read_study",
    "reasons_to_refuse",
    "study_time_of",
    "words_in",
    "write_link_table",
]
