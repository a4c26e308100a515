make rerun NOTEBOOK=fig2_procedure
papermill notebooks/fig2_procedure.ipynb build/fig2_procedure.ipynb --cwd notebooks -p profile quick
