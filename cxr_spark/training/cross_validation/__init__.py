"""Cross-validation by patient: its job, what it returns, and its out-of-fold scores."""
