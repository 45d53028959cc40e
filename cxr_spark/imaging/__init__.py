"""Images: bytes to checked, resized grey pixels. Neither Spark nor torch is imported here."""
