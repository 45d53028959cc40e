"""What all pages and plots share: style, page frame, provenance, and the curves of a training."""
