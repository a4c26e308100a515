make rerun NOTEBOOK=figS7_epochs PROFILE=smoke DATA=glyphs
papermill notebooks/figS7_epochs.ipynb build/figS7_epochs.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
