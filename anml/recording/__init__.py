"""Recorded results: what the repository keeps of a run, added to and measured again."""
