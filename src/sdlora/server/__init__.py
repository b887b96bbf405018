"""`sdlora serve`: a model folder behind HTTP, for programs and for people.

A request passes, in this order: `protocol` (deadlines of the connection), `admission` with `guard` (who may send what,
and how much), a file of routes, `decoders` (untrusted bytes become pixels in processes of their own), `batcher` (pixels
become probabilities on the one thread that holds the model). Lessons are `drafts` on disk until `teacher` teaches them
in a process of its own; `served` notices that the folder holds a new lesson and swaps the model between two batches.
"""
