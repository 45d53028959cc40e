"""Shows what a network looks at: Grad-CAM overlays, their overlap with radiologists' boxes, maps of single layers."""
