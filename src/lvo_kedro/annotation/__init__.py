"""Vessel labels for the plain scan, drawn from the CT angiography of the same study.

The angiography is brought onto the plain scan (:func:`register_cta`).
"""

from lvo_kedro.annotation.options import CtaRegistrationOptions
from lvo_kedro.annotation.registration import CtaAlignment, register_cta

__all__ = ["CtaAlignment", "CtaRegistrationOptions", "register_cta"]
