make rerun NOTEBOOK=claims_ledger PROFILE=smoke DATA=glyphs
papermill notebooks/claims_ledger.ipynb build/claims_ledger.ipynb --cwd notebooks \
  -p profile smoke -p data glyphs -p results runs/smoke-glyphs/results
