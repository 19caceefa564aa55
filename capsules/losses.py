"""Losses of a capsule network and what counts as a right answer, in float32 on any backend.

`targets` are multi-hot [batch, classes]: one 1 for each digit that is there. All constants are those
of the code of 2017; the paper's margin loss sums over the classes and lacks the factor 0.5, so it is
20 times this one at ten classes.
"""

from keras import ops


def multi_hot(labels, num_classes: int):
    """Labels [batch, num_targets] as float32 [batch, num_classes] with a 1 at each label."""
    return ops.sum(ops.one_hot(labels, num_classes, dtype="float32"), axis=1)


def margin_loss(logits, targets):
    """Margin loss of capsule lengths, mean over batch and classes (paper, eq. 4).

    Args:
        logits: lengths of the class capsules [batch, classes].
        targets: multi-hot [batch, classes].

    Returns:
        A float32 scalar: 0.5·max(0, 0.9 − l)² for a class that is there, 0.25·max(0, l − 0.1)² for one that is not.
    """
    logits, targets = ops.cast(logits, "float32"), ops.cast(targets, "float32")
    present = 0.5 * ops.square(ops.relu(0.9 - logits))
    absent = 0.25 * ops.square(ops.relu(logits - 0.1))
    return ops.mean(targets * present + (1.0 - targets) * absent)


def softmax_loss(logits, targets):
    """Softmax cross-entropy, summed over the targets of an image, mean over the batch. Shapes as `margin_loss`."""
    logits, targets = ops.cast(logits, "float32"), ops.cast(targets, "float32")
    return -ops.mean(ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))


def sigmoid_loss(logits, targets):
    """Sigmoid cross-entropy with labels/2, mean over batch and classes. Shapes as `margin_loss`."""
    logits, targets = ops.cast(logits, "float32"), ops.cast(targets, "float32")
    return ops.mean(ops.softplus(logits) - 0.5 * targets * logits)


CLASSIFICATION_LOSSES = {"margin": margin_loss, "softmax": softmax_loss, "sigmoid": sigmoid_loss}


def reconstruction_loss(remakes, targets):
    """0.0005 · mean over the batch of the sum of squared pixel differences (paper, section 4.1).

    Args:
        remakes: images [batch, rows, columns, depth].
        targets: what they should show, same shape.
    """
    difference = ops.cast(remakes, "float32") - ops.cast(targets, "float32")
    return 0.0005 * ops.mean(ops.sum(ops.square(difference), axis=(1, 2, 3)))


def score(logits, labels):
    """Which examples are right: all labels among the top logits; and almost right: at least one of them.

    Args:
        logits: [batch, classes].
        labels: int [batch, num_targets], which differ within a row.

    Returns:
        (correct, almost): two bool tensors [batch].
    """
    _, top = ops.top_k(ops.cast(logits, "float32"), k=labels.shape[1])
    found = ops.any(ops.equal(ops.cast(top, "int32")[:, None, :], ops.cast(labels, "int32")[:, :, None]), axis=2)
    return ops.all(found, axis=1), ops.any(found, axis=1)
