make rerun NOTEBOOK=learning_curves PROFILE=smoke DATA=glyphs
papermill notebooks/learning_curves.ipynb build/learning_curves.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
