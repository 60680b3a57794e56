"""Project settings, read by Kedro."""

import warnings

from kedro.config import OmegaConfigLoader

from lvo_kedro.failure_limit import FailureHooks
from lvo_kedro.given_files import GivenFilesHooks
from lvo_kedro.hooks import CohortHooks, LockHooks, ProgressHooks, ResultHooks
from lvo_kedro.run_hooks import ParameterHooks, StoppingHooks, StorageHooks
from lvo_kedro.tracking_hooks import TrackingHooks

# Kedro's own, about its use of OmegaConf and dots in names: nobody who runs this can act on them
warnings.filterwarnings("ignore", category=UserWarning, module=r"kedro\.(config|pipeline)\.")

# the last one is asked first
HOOKS = (
    FailureHooks(),
    ResultHooks(),
    ProgressHooks(),
    TrackingHooks(),
    GivenFilesHooks(),
    CohortHooks(),
    ParameterHooks(),
    LockHooks(),
    StoppingHooks(),
    StorageHooks(),
)
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {
        "mlflow": ["mlflow*", "mlflow*/**"],
        "progress": ["progress*", "progress*/**"],
        "receiver": ["receiver*", "receiver*/**"],
    },
}

EVALUATED_SPLITS = {"cross_validation": "development", "external_test": "external"}
"""Namespaces of the evaluation pipeline and the split of the cohort that each one reports on."""

SHUFFLES = ("permutation_1", "permutation_2", "permutation_3")
"""Namespaces of the permutation test; each deals out the labels with a seed of its own."""
