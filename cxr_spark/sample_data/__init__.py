"""Makes a synthetic chest X-ray set in NIH's layout, to try the program where no real data may go.

No picture shows a person. Each is a sketch of a thorax with a simple sign for each finding, at the place where a
radiologist would look for it. The signs are plain enough that a network learns them from a few hundred pictures.
"""
