make rerun NOTEBOOK=paper_versus_code PROFILE=smoke DATA=glyphs
papermill notebooks/paper_versus_code.ipynb build/paper_versus_code.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
