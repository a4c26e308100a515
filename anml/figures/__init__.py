"""One module a figure, what figures share, and the numbers that only a picture needs."""
