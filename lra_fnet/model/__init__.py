"""Models around one encoder: what a task, pre-training and language models ask of it.

classifier.py has the encoder that all mixers share, and what classifies; experts.py an
option of its layers; positions.py what answers at every position; decoder.py, imported
where it is asked for, what writes a sequence.
"""

from lra_fnet.model.classifier import (
    COMPARISONS,
    DTYPES,
    INPUTS,
    NORM_PLACEMENTS,
    PADDINGS,
    POOLINGS,
    POSITIONS,
    PRECISIONS,
    Block,
    Classifier,
    Embedder,
    Encoder,
    MixerFactory,
    Mlp,
    compared,
    last_real,
    masked_max,
    masked_mean,
    sinusoid_positions,
    zero_padding,
)
from lra_fnet.model.experts import ExpertsMlp, expert_capacities, take_tokens
from lra_fnet.model.positions import Prediction, Predictor, Restoration, Restorer

__all__ = [
    "COMPARISONS",
    "DTYPES",
    "INPUTS",
    "NORM_PLACEMENTS",
    "PADDINGS",
    "POOLINGS",
    "POSITIONS",
    "PRECISIONS",
    "Block",
    "Classifier",
    "Embedder",
    "Encoder",
    "ExpertsMlp",
    "MixerFactory",
    "Mlp",
    "Prediction",
    "Predictor",
    "Restoration",
    "Restorer",
    "compared",
    "expert_capacities",
    "last_real",
    "masked_max",
    "masked_mean",
    "sinusoid_positions",
    "take_tokens",
    "zero_padding",
]
