"""Predictions and labels on their way in: tables of any tool, checked before anything is computed."""
