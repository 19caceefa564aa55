"""Packaging: `pip install .` makes `capsules` and `capsules.models` work anywhere; the runner needs the checkout."""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
RUNNER = ["tensorboard>=2.20,<3", "absl-py>=2.1,<3", "filelock>=4.3,<5", "google-crc32c>=1.7,<2"]
PICTURES = ["pillow>=11.1,<14", "scipy>=1.13,<2"]
TENSORFLOW = ">=2.21,<2.22"
HAS_CPU_BUILD = 'sys_platform == "win32" or (sys_platform == "linux" and platform_machine == "x86_64")'
HAS_NONE = 'sys_platform != "win32" and (sys_platform != "linux" or platform_machine != "x86_64")'


class BuildWithoutTests(build_py):
    """Leaves the tests, which lie beside what they test, out of the wheel."""

    def find_package_modules(self, *package: str) -> list[tuple[str, str, str]]:
        return [module for module in super().find_package_modules(*package) if not module[1].endswith("_test")]


setup(
    name="dynamic-routing-capsules",
    version=re.search('__version__ = "(.+)"', (HERE / "capsules" / "__init__.py").read_text(encoding="utf-8"))[1],
    description="Dynamic Routing Between Capsules (Sabour, Frosst, Hinton 2017) on Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=["capsules", "capsules.models", "capsules.pretrained"],
    # A package named `models` at the top would meet other people's.
    package_dir={"capsules.models": "models", "capsules.pretrained": "pretrained"},
    package_data={"capsules": ["py.typed"], "capsules.pretrained": ["*/*"]},
    cmdclass={"build_py": BuildWithoutTests},
    install_requires=["keras>=3.12,<4", "numpy>=1.26,<3"],
    extras_require={
        "cpu": [f"tensorflow-cpu{TENSORFLOW}; {HAS_CPU_BUILD}", f"tensorflow{TENSORFLOW}; {HAS_NONE}", *RUNNER],
        "gpu": [f"tensorflow[and-cuda]{TENSORFLOW}", *RUNNER],
        "jax": ["jax>=0.6,<1"],
        "torch": ["torch>=2.6,<2.14"],
        "data": [*PICTURES, "google-crc32c>=1.7,<2"],
        "explore": [*PICTURES, "matplotlib>=3.9,<4"],
        "onnx": ["onnx>=1.17,<2", "tf2onnx>=1.17,<2", "onnxruntime>=1.20,<2"],
        "litert": ["ai-edge-litert>=2,<3"],
    },
)
