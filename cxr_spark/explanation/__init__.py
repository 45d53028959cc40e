"""What a network looks at: Grad-CAM overlays, how well they meet radiologists' boxes, and maps of single layers."""
