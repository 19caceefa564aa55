"""Writes the error message for a Keras that cannot start."""

from importlib.util import find_spec

BACKENDS = ("tensorflow", "jax", "torch")


def what_to_do(error: ImportError) -> str:
    """A sentence for an ImportError of `import keras`: which installed backend to choose, or what to install."""
    installed = [backend for backend in BACKENDS if find_spec(backend)]
    if find_spec("keras") is None or not installed:
        return (
            "The package capsules needs Keras 3 with a backend, and found none. "
            "Install one, for example: pip install 'dynamic-routing-capsules[cpu]' (or [gpu], [jax], [torch])"
        )
    return (
        f"Keras could not start ({error}). Of its backends {', '.join(installed)} is installed here: "
        f'set the environment variable KERAS_BACKEND={installed[0]}, or "backend" in ~/.keras/keras.json.'
    )
