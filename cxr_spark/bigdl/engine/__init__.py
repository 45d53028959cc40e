"""BigDL in the JVM: its installation, the session, vectors and optimisers there, and the rounds of its training."""
