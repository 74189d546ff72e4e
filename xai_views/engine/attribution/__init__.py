"""Attribution maps: gradients, occlusion, contributions of B-cos networks, and controls."""
