"""DICOM files: headers, frames and grey levels."""
