"""The side-by-side bench: `python -m bench`, from the folder of the project. See README.md."""
