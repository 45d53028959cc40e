"""A synthetic chest X-ray set in NIH's own layout: to try the pipeline where no real data may go.

No picture shows a person. What is drawn is a sketch of a thorax, and of each finding a simple sign at the place where a
radiologist would look for it, plain enough that a network learns it from a few hundred pictures.
"""
