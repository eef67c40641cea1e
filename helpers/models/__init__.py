"""The models of the course, one file a family. Every one has ``sample(captions, z=None, rng=None)``.

``captions`` is a list of n texts, ``z`` the random vectors, ``(n, *model.latent_shape)``, drawn with ``rng`` where none
are given. The same captions and the same z give the same pictures, ``(n, 3, size, size)`` in [0, 1].
"""
