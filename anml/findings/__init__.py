"""What result tables say: published numbers, values of figures, tests, verdicts, sentences."""
