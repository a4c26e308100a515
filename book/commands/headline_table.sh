make rerun NOTEBOOK=headline_table PROFILE=smoke DATA=glyphs
papermill notebooks/headline_table.ipynb build/headline_table.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
