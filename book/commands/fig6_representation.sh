make rerun NOTEBOOK=fig6_representation PROFILE=smoke DATA=glyphs
papermill notebooks/fig6_representation.ipynb build/fig6_representation.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
