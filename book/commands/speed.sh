make rerun NOTEBOOK=speed
papermill notebooks/speed.ipynb build/speed.ipynb --cwd notebooks -p profile quick
