"""What only the notebooks use: runs, problems, tables of predictions, plots. No part of the API."""
