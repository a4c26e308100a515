make rerun NOTEBOOK=baseline_rates PROFILE=smoke DATA=glyphs
papermill notebooks/baseline_rates.ipynb build/baseline_rates.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
