make rerun NOTEBOOK=data_drawings PROFILE=smoke DATA=glyphs
papermill notebooks/data_drawings.ipynb build/data_drawings.ipynb --cwd notebooks -p data glyphs
