"""What the parts promise each other: the method and the explanation. Neither torch nor panel."""
