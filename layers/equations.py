"""The function pairs of wave/ and standard/ by name: what a network computes with when nothing else is asked for."""

from engine.implementation import Functions
from layers.standard.attention import attention_backward, attention_forward
from layers.standard.dropout import dropout_backward, dropout_forward
from layers.standard.embedding import embedding_backward, embedding_forward
from layers.standard.gelu import gelu_backward, gelu_forward
from layers.standard.layer_norm import layer_norm_backward, layer_norm_forward
from layers.standard.linear import linear_backward, linear_forward
from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.relu import relu_backward, relu_forward
from layers.standard.residual import residual_backward, residual_forward
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from layers.standard.tanh import tanh_backward, tanh_forward
from layers.wave.modulated_magnitude import modulated_magnitude_backward, modulated_magnitude_forward
from layers.wave.operations import operation_backward, operation_forward
from layers.wave.readout import readout_backward, readout_forward
from layers.wave.token2wave import token2wave_backward, token2wave_forward

EQUATIONS = Functions(
    {
        "token2wave": (token2wave_forward, token2wave_backward),
        "operation": (operation_forward, operation_backward),
        "readout": (readout_forward, readout_backward),
        "modulated_magnitude": (modulated_magnitude_forward, modulated_magnitude_backward),
        "linear": (linear_forward, linear_backward),
        "embedding": (embedding_forward, embedding_backward),
        "layer_norm": (layer_norm_forward, layer_norm_backward),
        "gelu": (gelu_forward, gelu_backward),
        "relu": (relu_forward, relu_backward),
        "tanh": (tanh_forward, tanh_backward),
        "dropout": (dropout_forward, dropout_backward),
        "residual": (residual_forward, residual_backward),
        "pooling": (pooling_forward, pooling_backward),
        "attention": (attention_forward, attention_backward),
        "softmax_cross_entropy": (softmax_cross_entropy_forward, softmax_cross_entropy_backward),
    }
)
