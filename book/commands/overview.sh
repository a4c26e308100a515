make rerun NOTEBOOK=overview
papermill notebooks/overview.ipynb build/overview.ipynb --cwd notebooks -p seed 1
