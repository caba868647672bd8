"""Event-camera gestures: where recordings come from, and how events become frames.

`samples` holds the words that everything here speaks. `folder` opens what people have with one of the `readers`, a family found
by name; `aedat`, `labels` and `coverage` are parts of such readers;
`synthetic` makes recordings of its own (`gestures` moves the hands, `person_renderer` paints frames, `camera` turns frames into
events); `frames` bins events. Nothing here knows a network, a chip or a checkpoint, and importing the package loads
none of its modules.
"""
