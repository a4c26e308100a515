make rerun NOTEBOOK=fig5_activity PROFILE=smoke DATA=glyphs
papermill notebooks/fig5_activity.ipynb build/fig5_activity.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
