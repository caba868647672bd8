"""Other programs' files, read without running anything in them; none needs torch.

`import_model.import_model` is the way in: it asks the importers (`models/importers`) whose the file is. They share
`state_dict.py`, a state_dict of any file, `torch_file.py`, torch's zip, `unpickle.py`, the pickle in it, and `inert_names.py`, what
trainers leave in such a pickle beside the weights.
"""
