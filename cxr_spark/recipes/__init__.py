"""The pipeline job: the other jobs in order, as a settings file asks for them."""
