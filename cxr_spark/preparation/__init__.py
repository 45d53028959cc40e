"""The prepare job: image files and labels in, a prepared dataset with quarantine and manifest out."""
