"""Detect and localize large-vessel occlusion on non-contrast head CT.

Research software, not a medical device.
"""

import os

# Patient data sit beside this code: nothing it uses phones home.
for _switch in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "KEDRO_DISABLE_TELEMETRY"):
    os.environ.setdefault(_switch, "true")

__version__ = "0.1.0"
