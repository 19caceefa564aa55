# %% [markdown]
# # A tour of capsule networks, from the paper to the code
#
# This notebook walks through *Dynamic Routing Between Capsules* (Sara Sabour, Nicholas Frosst, Geoffrey E. Hinton,
# NIPS 2017, [arXiv:1710.09829](https://arxiv.org/abs/1710.09829); "the paper" below) with this repository's code at
# hand. What is computed by hand is computed with NumPy, and an `assert` compares it with the library. All of it takes
# less than a minute on a laptop, and nothing is downloaded: the network is a small one that comes with the repository,
# and the digits are the first thousand of MNIST's test set. The source of this notebook is `tour.py`; `make tour` runs
# it again.

# %%
import sys

sys.path.insert(0, "..")  # the root of the repository

from runner.startup import use_tensorflow

use_tensorflow()  # as the backend of Keras
# %matplotlib inline

import keras
import numpy as np
import tour_pictures as draw

import capsules
import input_data
import models
from explorer import findings
from explorer.diagnose import ways_to_route
from explorer.robustness import rotated

model = models.CapsNet.from_preset("capsnet_mnist_small")
test = next(input_data.evaluation_batches(input_data.open_split("mnist", "test", None), 1000))
images, labels = test["images"], test["labels"][:, 0]  # [1000, 28, 28, 1] in [0, 1], and [1000]
outputs = model.predict(images, batch_size=100, verbose=0)
predictions = outputs["logits"].argmax(axis=1)
right = predictions == labels
print(f"The network reads {right.sum()} of {len(labels):,} test digits as they are labelled.")
draw.images({"": images[:10]}, [f"“{digit}”" for digit in predictions[:10]])

# %% [markdown]
# ## 1. Why convolutional networks fall short
#
# A convolution looks for the same small pattern everywhere. Pooling keeps *that* it was seen and forgets *where*, so
# that the answer stays when the digit moves. What goes missing is how the parts lie to one another: after pooling over
# the whole image, a seven and the same two strokes as a corner at the bottom left cannot be told apart.
#
# A network that has only the shift built in must cover every other change of a pose, such as turning or slanting, with
# more detectors or more examples: exponentially many in the number of such changes (paper, section 6).
#
# ## 2. Equivariance
#
# A function $f$ is *invariant* to a change $T$ when $f(Tx) = f(x)$: the answer stays. It is *equivariant* when
# $f(Tx) = T'f(x)$: the answer changes along with the input, in its own way. A convolution is equivariant to shifts:
# when the digit moves by three pixels, so do the feature maps. Pooling over the whole map makes the result invariant.
#
# A capsule should be both (Hinton, Krizhevsky, Wang, *Transforming auto-encoders*, ICANN 2011): its length says that
# the thing is there and stays, while its direction says in which pose and turns with it.

# %%
digit = images[np.flatnonzero(right & (labels == 2))[1]]
framed = np.pad(digit, ((8, 8), (8, 8), (0, 0)))  # so that nothing leaves the image
maps, maps_of_shifted = np.asarray(model.conv1(np.stack([framed, np.roll(framed, 3, axis=1)])))  # [36, 36, 64] each
assert np.allclose(maps_of_shifted[:, 3:], maps[:, :-3], atol=1e-5)  # equivariant
assert np.allclose(maps_of_shifted.max(axis=(0, 1)), maps.max(axis=(0, 1)), atol=1e-5)  # pooled: invariant

angles = np.arange(-40, 41, 10)
turned = np.concatenate([rotated(digit[None], angle) for angle in angles])
vectors = np.asarray(model(turned)["capsules"])[:, 2]  # the capsule of the class 2, [angles, 16]
lengths = np.linalg.norm(vectors, axis=1)
turns = np.degrees(np.arccos(np.clip(vectors @ vectors[4] / (lengths * lengths[4]), -1, 1)))
said = [f"{angle}°\nlength {lengths[i]:.2f}\nturned {turns[i]:.0f}°" for i, angle in enumerate(angles)]
drawn = findings.reconstructions(model, turned, np.full((len(angles), 1), 2))[:, 0]
draw.images({"digit": turned, "drawn from\nits capsule": drawn}, said, size=0.9)

# %% [markdown]
# The second row is what the decoder (section 8) draws from the sixteen numbers of the capsule alone. It turns with the
# digit, so that the numbers must hold the angle. The network has seen digits turned only as far as people write them,
# and there the equivariance ends: the capsule becomes shorter, and the drawing no longer follows.
#
# ## 3. What a capsule's vector says
#
# The length of a capsule's output, from 0 to 1, stands for the probability that its thing is there; the direction says
# how it looks. The *squash* makes lengths so (paper, equation 1):
#
# $$v_j = \frac{|s_j|^2}{1 + |s_j|^2}\,\frac{s_j}{|s_j|}$$
#
# Short vectors shrink to almost nothing and long ones to just below 1. The direction stays.


# %%
def squash(s):
    """Equation 1, for vectors along the last axis."""
    norm = np.linalg.norm(s, axis=-1, keepdims=True)
    return norm**2 / (1 + norm**2) * s / norm


s = np.random.default_rng(0).normal(size=(5, 16))
assert np.allclose(squash(s), capsules.squash(keras.ops.array(s)), atol=1e-6)

lengths = np.linalg.norm(outputs["capsules"], axis=2)  # [1000, 10]
longest = lengths.max(axis=1)
print(f"Longest capsule: {longest[right].mean():.2f} in the mean where the answer is right, ", end="")
print(f"{longest[~right].mean():.2f} where it is wrong")
draw.squashed(squash)

# %% [markdown]
# These are no calibrated probabilities: the loss (section 7) asks for a length of 0.9 and no more, however sure the
# network may be. But wrong answers are shorter, so that the length can serve as a warning.
#
# ## 4. One capsule's output by hand
#
# Three capsules below, with the vectors $u_i$, tell one capsule above what they expect of it. Each has a learnt matrix
# that turns its pose into a *vote* for the pose of the whole. The votes are summed and squashed (equation 2):
#
# $$\hat u_{j|i} = W_{ij}\,u_i, \qquad s_j = \sum_i c_{ij}\,\hat u_{j|i}, \qquad v_j = \mathrm{squash}(s_j)$$
#
# The *coupling coefficient* $c_{ij}$ is the share of capsule $i$ that goes to capsule $j$. With one capsule above there
# is no choice: each is 1. Below, two votes agree and add up, and the third contradicts them and takes away.

# %%
u = np.array([[0.6, 0.2], [0.1, 0.7], [0.5, 0.5]])
W = np.array([[[1, 1], [0, 1]], [[0, 1], [1, 0.6]], [[-1, 0.2], [0, 0.6]]])
votes = np.stack([matrix @ vector for matrix, vector in zip(W, u, strict=True)])
s = votes.sum(axis=0)
v = squash(s)
print("votes", *votes.round(2), "  sum", s.round(2), "  output", v.round(2), f"of length {np.linalg.norm(v):.2f}")

layer = capsules.Capsules(num_capsules=1, atoms=2, routing=1)
layer.build((None, 3, 2))
layer.set_weights([W.transpose(0, 2, 1), np.zeros((1, 2))])  # kernel, written for u W, and bias
assert np.allclose(layer(u[None])[0, 0], v, atol=1e-6)
draw.routing(votes[:, None], [(np.ones((3, 1)), v[None])])

# %% [markdown]
# ## 5. Routing by agreement, step by step
#
# With several capsules above, routing by agreement (paper, procedure 1) finds the shares anew for each image. A logit
# $b_{ij}$ for each pair starts at 0. Then repeat:
#
# 1. The shares are a softmax over the capsules *above*: $c_{ij} = \exp b_{ij} / \sum_k \exp b_{ik}$ (equation 3).
# 2. The outputs $v_j$ follow from the votes and the shares (section 4).
# 3. A vote that agrees with the output gets more say: $b_{ij} \leftarrow b_{ij} + \hat u_{j|i} \cdot v_j$.
#
# First, two capsules above and five below. Four of the votes for A agree; the votes for B point anywhere.


# %%
def route(votes, iterations, bias=0.0):
    """Procedure 1 for votes [in, out, atoms]: c [in, out] and v [out, atoms] of each iteration."""
    b, steps = np.zeros(votes.shape[:2]), []
    for _ in range(iterations):
        c = np.exp(b) / np.exp(b).sum(axis=1, keepdims=True)
        v = squash(np.einsum("ij,ija->ja", c, votes) + bias)
        b = b + np.einsum("ija,ja->ij", votes, v)
        steps.append((c, v))
    return steps


votes_for_a = [[1.2, 0.8], [1.3, 0.6], [1.0, 0.9], [1.4, 0.8], [-0.9, -0.5]]
votes_for_b = [[0.9, -0.8], [-1.1, -0.5], [-0.6, 1.1], [0.0, -1.0], [1.1, 0.7]]
votes = np.stack([votes_for_a, votes_for_b], axis=1)  # [in, out, atoms]
steps = route(votes, 3)
assert np.allclose(steps[-1][1], capsules.dynamic_routing(keras.ops.array(votes[None]))[0], atol=1e-6)
for number, (c, _) in enumerate(steps, start=1):
    print(f"Iteration {number}: the five shares that go to A are", *c[:, 0].round(2))
draw.routing(votes, steps)

# %% [markdown]
# A wins the four that agree about it, and the fifth, which contradicts them, goes to B. Now the same function on a
# digit and the trained network, with 288 capsules below and 10 above. Its result is that of the layer. The maps show
# the shares of the primary capsules, from none (blue) to twice the even share (red), where these lie on the image.

# %%
index = np.flatnonzero(right & (labels == 5))[0]
second = outputs["logits"][index].argsort()[-2]
u = np.asarray(model.primary_capsules(images[[index]]))[0]  # [288, 8]
W = np.asarray(model.classes.kernel).reshape(len(u), 8, 10, 16)
steps = route(np.einsum("ia,iajd->ijd", u, W), 3, np.asarray(model.classes.bias))
assert np.allclose(steps[-1][1], outputs["capsules"][index], atol=1e-4)

for number, (_, v) in enumerate(steps, start=1):
    print(f"Iteration {number}: capsule 5 is {np.linalg.norm(v[5]):.2f} long, ", end="")
    print(f"capsule {second} {np.linalg.norm(v[second]):.2f}")
coupling = np.asarray(findings.coupling_maps(model, images[[index]]))[0]  # [iterations, classes, 6, 6]
shown = [(1, 5), (3, 5), (3, second)]
draw.shares(images[index], {f"to {k}, iteration {number}": coupling[number - 1, k] for number, k in shown})

# %% [markdown]
# No primary capsule throws its whole vote to one class. Yet the capsule of the digit grows a lot, as many small changes
# that point the same way add up. Section 10 comes back to this.
#
# ## 6. The layers and their shapes
#
# A 9×9 convolution finds pieces of strokes. A second one, two pixels a step, makes the *primary capsules*: one of each
# type at each of 6×6 places (paper, figures 1 and 2). The paper has 256 channels and 32 types, this network 64 and 8.
#
# The picture shows the primary capsules of a five. One might expect that they are long where a part of the digit lies.
# Those of most types are long nearly everywhere, over the empty background too; what differs is their direction.

# %%
activations = model.activations(images[[index]])
for layer in (model.conv1, model.primary, model.classes):
    print(f"{layer.name:14}{activations[layer.name].shape!s:17}{layer.count_params():>9,} weights")
print(f"{model.count_weights():,} weights with the decoder; the network of the paper has 8,215,728")
primary = u.reshape(8, 6, 6, 8)  # type, row, column, number
rows = {"length": np.linalg.norm(primary, axis=3, keepdims=True), "first number": (primary[..., :1] + 1) / 2}
draw.images(rows, [f"type {number}" for number in range(1, 9)], size=1)

# %% [markdown]
# ## 7. Margin loss
#
# The capsule of a digit that is there should be at least 0.9 long, and any other at most 0.1 (paper, equation 4):
#
# $$L_k = T_k \max(0,\, 0.9 - |v_k|)^2 + 0.5\,(1 - T_k) \max(0,\, |v_k| - 0.1)^2$$
#
# $T_k$ is 1 for the label and 0 for other classes. Each class is judged by itself, so that two digits may be there at
# once. The factor of 0.5 keeps the many absent classes from shrinking all capsules early in training. The paper adds
# the classes up; the authors' code, and `CapsNet` with it, takes half of their mean.

# %%
T, lengths = np.eye(10)[labels], outputs["logits"]
L = T * np.maximum(0, 0.9 - lengths) ** 2 + 0.5 * (1 - T) * np.maximum(0, lengths - 0.1) ** 2  # [1000, 10]
assert np.allclose(L.sum(axis=1), capsules.margin_loss(labels, lengths), atol=1e-6)
assert np.allclose(L.mean(axis=1), capsules.margin_loss(labels, lengths, over_classes="mean"), atol=1e-6)
print(f"Mean loss of a right answer: {L[right].sum(axis=1).mean():.3f}, ", end="")
print(f"of a wrong one: {L[~right].sum(axis=1).mean():.3f}")

# %% [markdown]
# ## 8. Reconstruction
#
# Three fully connected layers draw the image from the capsule of the label, all others being set to zero (paper,
# section 4.1). The sum of squared differences, times 0.0005, joins the loss, so that a capsule must tell more about a
# digit than its class. Below are wrong answers, drawn from the capsule of the prediction and of the label.

# %%
drawn = findings.reconstructions(model, images, np.stack([predictions, labels], axis=1))  # [1000, 2, 28, 28, 1]
cost = 0.0005 * ((images - drawn[:, 1]) ** 2).sum(axis=(1, 2, 3))
assert np.allclose(cost, capsules.losses.reconstruction_loss(images, drawn[:, 1]), atol=1e-5)
print(f"Mean reconstruction loss {cost.mean():.4f}, mean margin loss (as in training) {L.mean() / 2:.4f}")

some = np.flatnonzero(~right)[:10]
said = [f"“{prediction}”, is {label}" for prediction, label in zip(predictions[some], labels[some], strict=True)]
draw.images({"input": images[some], "as predicted": drawn[some, 0], "as labelled": drawn[some, 1]}, said)

# %% [markdown]
# ## 9. What a capsule learns
#
# Change one of a capsule's sixteen numbers and have the result drawn (paper, section 5.1, figure 4). Here are the six
# numbers of the capsule of a two that change its drawing most.

# %%
sweep = findings.dimensions(model, digit, 2)  # [16, 11, 28, 28, 1]
effect = np.abs(sweep[:, -1] - sweep[:, 0]).sum(axis=(1, 2, 3))
strongest = np.sort(np.argsort(effect)[-6:])
draw.images({f"number {d + 1}": sweep[d] for d in strongest}, [f"{change:.2f}" for change in findings.SWEEP])

# %% [markdown]
# Most of these numbers mix several properties. So ask the other way round: is there a *direction* that means "turned"?
# We turn other twos to either side and see how their capsules move. The mean cosine between two moves is 1 if all move
# alike, and 0 if each goes its own way. Then we move the capsule of our two by the mean of their moves.

# %%
others = images[np.flatnonzero(right & (labels == 2))[10:60]]
before, after = (np.asarray(model(rotated(others, angle))["capsules"])[:, 2] for angle in (-15, 15))
moves = after - before  # [50, 16]
directions = moves / np.linalg.norm(moves, axis=1, keepdims=True)
cosines = (directions @ directions.T)[~np.eye(len(moves), dtype=bool)]
mean = moves.mean(axis=0)
print(f"Mean cosine between two moves: {cosines.mean():.2f}. ", end="")
print(f"The number that moves most makes up {(mean**2).max() / (mean**2).sum():.0%} of the mean move.")

vectors = np.tile(np.asarray(model(digit[None])["capsules"]), (len(angles), 1, 1))  # [angles, 10, 16]
vectors[:, 2] += angles[:, None] / 30 * mean
drawn = np.asarray(model.draw(vectors, np.tile(np.eye(10)[2], (len(angles), 1))))
draw.images({"digit turned": turned, "capsule moved": drawn}, [f"{angle}°" for angle in angles])

# %% [markdown]
# There is such a direction, but roughly: the moves agree in part, and the drawing falls apart far from the middle.
#
# ## 10. What the routing really changes
#
# The usual story is that routing sends each part to its whole. On a trained network one can measure how evenly a
# primary capsule shares itself (an entropy of 1: the same share for each class; 0: all for one), and route the same
# votes in other ways.

# %%
primary = model.primary_capsules(images)
for number, step in enumerate(model.classes.route(primary).steps, start=1):
    c = np.asarray(step.coefficients)  # [1000, 288, 10]
    entropy = -np.sum(c * np.log(c), axis=2).mean() / np.log(10)
    print(f"Iteration {number}: entropy {entropy:.3f}, largest share {np.max(c):.2f}")
print("\nway to route    wrong   mean length of the label's capsule   of the longest other one")
votes = model.classes.votes(primary)
for name, way in ways_to_route(model.classes).items():
    lengths = np.asarray(way(votes).activations)  # [1000, 10]
    wrong, own = (lengths.argmax(axis=1) != labels).sum(), (lengths * T).max(axis=1).mean()
    print(f"{name:16}{wrong:5}{own:20.2f}{(lengths * (1 - T)).max(axis=1).mean():29.2f}")

# %% [markdown]
# The shares stay almost even: nothing like a tree of parts and wholes is carved out for each image. Even shares, which
# are no routing at all, get no more digits wrong than the three iterations that the network was trained with. What each
# iteration changes is the lengths: it makes the label's capsule much longer and the others a little, which is what the
# margin loss asks for. `docs/what-routing-does.md` has networks that were *trained* without routing.
#
# ## Where to go from here
#
# - Change this notebook: make the votes for B agree in section 5 or route ten times, or put another digit in place of
#   the two in sections 2 and 9.
# - `python explore.py --serve` opens a page on which to draw digits and to turn the numbers of a capsule by hand.
# - `python explore.py --diagnose` measures what section 10 does, and more, for any network (`docs/diagnosis.md`).
