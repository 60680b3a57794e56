"""Results as DICOM objects that refer to the original images, and images that come by network."""
