"""The way to BigDL in the JVM: its installation, the session, vectors and optimisers there, and one call of BigDL."""
