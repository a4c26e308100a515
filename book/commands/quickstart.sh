make rerun NOTEBOOK=quickstart PROFILE=smoke DATA=glyphs
papermill notebooks/quickstart.ipynb build/quickstart.ipynb --cwd notebooks -p data glyphs -p meta_iterations 100
