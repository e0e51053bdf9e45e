"""Fast implementations of the functions of layers/wave and layers/standard."""
