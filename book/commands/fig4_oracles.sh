make rerun NOTEBOOK=fig4_oracles PROFILE=smoke DATA=glyphs
papermill notebooks/fig4_oracles.ipynb build/fig4_oracles.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
