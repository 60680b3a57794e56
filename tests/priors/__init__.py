"""Tests of lvo_kedro.priors."""
