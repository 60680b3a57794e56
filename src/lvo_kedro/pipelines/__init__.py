"""Wiring: thin nodes around the science packages, one folder per pipeline.

Pipelines never import one another; the registry alone knows them all. Nodes with the tag
``each_scan`` apply to a scan of any origin and make up the ``inference`` pipeline as well.
"""
