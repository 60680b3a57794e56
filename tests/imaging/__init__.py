"""Tests of lvo_kedro.imaging."""
