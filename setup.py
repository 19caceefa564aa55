"""Packaging: `pip install .` makes `import capsules` work anywhere; `experiment.py` runs from the checkout."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="dynamic-routing-capsules",
    version="1.0.0",
    description="Dynamic Routing Between Capsules (Sabour, Frosst, Hinton 2017) on Keras 3",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["capsules*"]),
    install_requires=["keras>=3.15,<3.16", "numpy>=1.26,<3"],
    extras_require={
        "cpu": [
            'tensorflow-cpu>=2.21,<2.22; sys_platform == "win32"'
            ' or (sys_platform == "linux" and platform_machine == "x86_64")',
            'tensorflow>=2.21,<2.22; sys_platform != "win32"'
            ' and (sys_platform != "linux" or platform_machine != "x86_64")',
            "tensorboard>=2.20,<3",
            "absl-py>=2.1,<3",
            "filelock>=4.3,<5",
        ],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22", "tensorboard>=2.20,<3", "absl-py>=2.1,<3", "filelock>=4.3,<5"],
        "jax": ["jax>=0.6,<1"],
        "torch": ["torch>=2.6"],
        "data": ["pillow>=11.1,<14", "scipy>=1.13,<2", "google-crc32c>=1.7,<2"],
        "explore": ["matplotlib>=3.9,<4", "pillow>=11.1,<14", "scipy>=1.13,<2"],
        "onnx": ["onnx>=1.17,<2", "tf2onnx>=1.17,<2", "onnxruntime>=1.20,<2"],
        "litert": ["ai-edge-litert>=2,<3"],
    },
)
