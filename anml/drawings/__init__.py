"""Drawings, behind `anml.data`: Omniglot and embedded alphabets, fetched, made, packed, checked."""
