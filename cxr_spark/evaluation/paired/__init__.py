"""Two models on the same images: DeLong's test, and the images on which they disagree most."""
