make rerun NOTEBOOK=figS9_order PROFILE=smoke DATA=glyphs
papermill notebooks/figS9_order.ipynb build/figS9_order.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
