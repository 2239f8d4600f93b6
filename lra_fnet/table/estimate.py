"""What a cell will cost: operations counted, memory estimated, seconds from measurements.

Operations come from the traced forward pass (see flops.py), three times that for a
training step: the pass itself, and as much again for each of its two factors'
gradients. Seconds come from finished runs alone, so there are none before the first.
"""




PASSES = 3  # a forward pass, and the gradients of both factors of its products
