make rerun NOTEBOOK=fig1_architecture
papermill notebooks/fig1_architecture.ipynb build/fig1_architecture.ipynb --cwd notebooks -p pln_channels 64 -p nm_channels 28
