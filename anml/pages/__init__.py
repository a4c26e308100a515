"""What only the notebooks need: their parameters, pictures and sheets, what a rerun should give."""
