"""Names of the kernels that parts of a step launch on a device."""

# A device has no other way to add up segments in order.
SEGMENTS = {"sum_short_segments", "sum_long_segments", "sum_flat_segments", "max_segments", "max_flat_segments"}
WAVES = {"wave_pair_forward", "wave_pair_backward"}
MAGNITUDE = {"bag_magnitude_forward", "bag_magnitude_slopes", "bag_magnitude_backward"}
REST = {
    "gather_rows", "sum_short_segments", "sum_columns", "finish_columns", "gelu_forward", "gelu_backward",
    "layer_norm_forward", "layer_norm_backward", "layer_norm_parameters", "mean_pooling_forward",
    "mean_pooling_backward", "softmax_cross_entropy_forward", "softmax_cross_entropy_backward",
}  # fmt: skip
UPDATE = {"squared_norms", "finish_norm", "adamw_tensors", "adamw_rows", "record_missed"}
