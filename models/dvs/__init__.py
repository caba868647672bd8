"""Event-camera gestures: where recordings come from, and how events become frames.

`recording` holds the words that everything here speaks. `aedat`, `folder` and `tonic_folder` read what people have;
`synthetic` makes recordings of its own (`gestures` moves the hands, `scene` paints frames, `camera` turns frames into
events); `frames` bins events. Nothing here knows a network, a chip or a checkpoint, and importing the package loads
none of its modules.
"""
