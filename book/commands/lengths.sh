make rerun NOTEBOOK=lengths PROFILE=smoke DATA=glyphs
papermill notebooks/lengths.ipynb build/lengths.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
