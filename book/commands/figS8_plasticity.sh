make rerun NOTEBOOK=figS8_plasticity PROFILE=smoke DATA=glyphs
papermill notebooks/figS8_plasticity.ipynb build/figS8_plasticity.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
