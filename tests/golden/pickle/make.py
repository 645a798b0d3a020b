"""Writes the weights of ../model/llama as torch.save does: pip install torch safetensors; python make.py"""
import pathlib

import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
torch.save(load_file(HERE / "../model/llama/model.safetensors"), HERE / "pytorch_model.bin")
