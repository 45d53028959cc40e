"""Networks: how they are built, where their weights come from, and how a trained one is kept."""
