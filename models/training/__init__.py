"""The trainers: from data to a checkpoint. They need torch (`pip install '.[train]'`); nothing outside this folder does."""
