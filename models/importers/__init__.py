"""Readers of other people's checkpoints: EvNN's language models and layers, torch.nn.GRU; none of them runs code.

`import_model.import_model` is the way in. Inwards: `evnn.py` and `gru.py` know keys, `state_dict.py` a state_dict of any file,
`torch_file.py` torch's zip and `unpickle.py` the pickle in it. None needs torch.
"""
