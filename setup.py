from setuptools import find_packages, setup

PACKAGE_ROOT = "projects/TransAVS"

setup(
    name="transavs",
    version="0.1.0",
    description="TransAVS: end-to-end audio-visual segmentation with Transformer, as a Detectron2 project",
    license="Apache-2.0",
    packages=find_packages(PACKAGE_ROOT),
    package_dir={"": PACKAGE_ROOT},
    python_requires=">=3.10",
    # Detectron2 is needed too, but is not on PyPI under its own name: see the README.
    install_requires=[
        "torch>=2.4",
        "torchvision",
        "torchaudio",
        "numpy",
        "scipy",
        "timm>=1.0.31",
        "opencv-python-headless",
        "soundfile",
        "resampy",
        "av>=18",
        "tqdm",
        "pillow",
        "fvcore",
        "pycocotools",
        "tabulate",
        "matplotlib",
    ],
    extras_require={
        "onnx": ["onnx", "onnxscript", "onnxruntime"],  # tools/export_model.py --format onnx
        "web": ["gradio>=6"],  # tools/web_demo.py
    },
)
