make rerun NOTEBOOK=fig3_continual_learning PROFILE=smoke DATA=glyphs
papermill notebooks/fig3_continual_learning.ipynb build/fig3_continual_learning.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
