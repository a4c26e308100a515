make rerun NOTEBOOK=head_order PROFILE=smoke DATA=glyphs
papermill notebooks/head_order.ipynb build/head_order.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
