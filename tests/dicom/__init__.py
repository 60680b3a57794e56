"""DICOM results and the receiver."""
