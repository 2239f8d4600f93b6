"""LRA's original mixers against dense references, by NumPy and in float64."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from scipy.optimize import linear_sum_assignment

from lra_fnet.dropout import dropout_key
from lra_fnet.mixers import _blocks, mixer_class
from lra_fnet.mixers._blocks import Keys, attend
from lra_fnet.mixers._seeds import layer_seed
from lra_fnet.mixers.bigbird import choose_blocks
from lra_fnet.mixers.performer import orthogonal_directions
from lra_fnet.mixers.sinkhorn import sinkhorn, sorted_keys

BATCH, LENGTH, WIDTH, HEADS = 3, 37, 23, 2
POSITIONS = np.arange(LENGTH)
HEAD_FIELDS = {"num_heads": HEADS, "qkv_dim": 10}
ATTENTION = {**HEAD_FIELDS, "dropout_rate": 0.0}
SMALL = {  # several blocks in 37 positions
    "local": {**ATTENTION, "block_size": 5},
    "sparse": {**ATTENTION, "block_size": 7, "num_summaries": 2},
    "longformer": {**ATTENTION, "window_size": 6},
    "linformer": {**ATTENTION, "rank": 4},
    "reformer": {**ATTENTION, "chunk_size": 5, "num_hashes": 2, "seed": 0},
    "sinkhorn": {
        **ATTENTION,
        **{"block_size": 5, "num_iterations": 6, "temperature": 0.75},
    },
    "synthesizer": {**ATTENTION, "rank": 3},
    "bigbird": {
        **ATTENTION,
        **{"block_size": 3, "num_window_blocks": 3, "num_global_blocks": 2},
        **{"num_random_blocks": 2, "seed": 0},
    },
    "linear_transformer": HEAD_FIELDS,
    "performer": {**HEAD_FIELDS, "num_features": 12, "seed": 0},
}
BLOCKWISE = ["local", "sparse", "longformer", "reformer", "sinkhorn", "bigbird"]


def small(name, **changes):
    return mixer_class(name)(**SMALL[name] | changes)


def some_x(seed=0, length=LENGTH, scale=1.0):
    x = np.random.default_rng(seed).normal(size=(BATCH, length, WIDTH))
    return jnp.asarray(scale * x, jnp.float32)


def some_mask(length=LENGTH):
    """A whole document, one with a gap and padding at the end, one that is short."""
    mask = np.arange(length) < np.array([[length], [length - 2], [length // 2]])
    mask[1, 8:12] = False
    return jnp.asarray(mask)


def everything(length=LENGTH):
    return jnp.ones((BATCH, length), bool)


def initialized(mixer, length=LENGTH):
    """Parameters drawn without running the mixer; some weights are far from equal."""
    x = jax.ShapeDtypeStruct((BATCH, length, WIDTH), jnp.float32)
    mask = jax.ShapeDtypeStruct((BATCH, length), bool)
    init = partial(mixer.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x, mask)
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: as_float(0.3 * random.normal(size=leaf.shape)), shapes
    )


def as_float(values):
    return jnp.asarray(values, jnp.float32)


@partial(jax.jit, static_argnums=0)
def apply(mixer, params, x, mask):
    return mixer.apply(params, x, mask, train=False)


def heads_of(params, x, names=("query", "key", "value")):
    """The projections of x in float64, (b, h, l, k) each."""
    x = np.asarray(x, np.float64)
    kernels = [np.asarray(params["params"][n]["kernel"], np.float64) for n in names]
    return [np.einsum("bld,dhk->bhlk", x, kernel) for kernel in kernels]


def projected(params, heads):
    kernel = np.asarray(params["params"]["out"]["kernel"], np.float64)
    return np.einsum("bhlk,hkd->bld", heads, kernel)


def dense_attention(query, key, value, allowed):
    """Softmax attention where allowed; `allowed` may count a key several times."""
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True)) * allowed
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1) @ value


def real_keys(mask):
    return np.asarray(mask)[:, None, None, :]


def assert_equal_where_real(y, expected, mask, tolerance=1e-5):
    """Compare to within a share of the largest."""
    real, largest = np.asarray(mask), np.abs(expected).max()
    np.testing.assert_allclose(
        np.asarray(y)[real] / largest, expected[real] / largest, atol=tolerance
    )


def local_pattern(fields):
    block = POSITIONS // fields["block_size"]
    return block[:, None] == block


def sparse_pattern(fields):
    block, place = np.divmod(POSITIONS, fields["block_size"])
    return (block[:, None] == block) | (place < fields["num_summaries"])


@pytest.mark.parametrize(
    ("name", "pattern"), [("local", local_pattern), ("sparse", sparse_pattern)]
)
def test_blocks_equal_dense_attention_with_their_pattern(name, pattern):
    mask = some_mask()
    x, mixer = some_x(), small(name)
    params = initialized(mixer)
    allowed = pattern(SMALL[name]) & real_keys(mask)
    expected = projected(params, dense_attention(*heads_of(params, x), allowed))
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


@pytest.mark.parametrize("window_size", [6, 512])
def test_longformer_equals_dense_attention_with_a_window_and_the_first(window_size):
    mask = some_mask()
    x, mixer = some_x(), small("longformer", window_size=window_size)
    params = initialized(mixer)
    distance = np.abs(POSITIONS[:, None] - POSITIONS)
    allowed = (distance <= window_size // 2) | (POSITIONS == 0)
    heads = dense_attention(*heads_of(params, x), allowed & real_keys(mask))
    names = ("global_query", "global_key", "global_value")
    of_first = dense_attention(*heads_of(params, x, names), real_keys(mask))
    heads[:, :, 0] = of_first[:, :, 0]
    assert_equal_where_real(
        apply(mixer, params, x, mask), projected(params, heads), mask
    )


def test_bigbird_equals_dense_attention_with_its_blocks():
    mask = some_mask()
    x, mixer, fields = some_x(), small("bigbird"), SMALL["bigbird"]
    params = initialized(mixer)
    block = POSITIONS // fields["block_size"]
    near = np.abs(block[:, None] - block) <= 1
    is_global = block < 2
    chosen = choose_blocks(13, 2, 3, 2, seed=layer_seed(0, ()))
    random = np.zeros((13, 13), bool)
    for row, blocks in enumerate(chosen, start=2):
        random[row, blocks[blocks >= 0]] = True
    pattern = near | is_global | is_global[:, None] | random[block[:, None], block]
    expected = dense_attention(*heads_of(params, x), pattern & real_keys(mask))
    assert_equal_where_real(
        apply(mixer, params, x, mask), projected(params, expected), mask
    )


def test_bigbird_draws_the_blocks_that_window_and_globals_leave():
    first, again, other = (choose_blocks(40, 2, 3, 3, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    for row, blocks in enumerate(first, start=2):
        blocks = blocks[blocks >= 0].tolist()
        near = [j for j in (row - 1, row, row + 1) if 2 <= j < 40]
        assert blocks[: len(near)] == near and len(blocks) == len(near) + 3
        assert len(set(blocks)) == len(blocks) and min(blocks) >= 2


def test_bigbird_with_few_blocks_reads_everything():
    x, mask, mixer = some_x(), some_mask(), small("bigbird", block_size=10)
    params = initialized(mixer)
    expected = dense_attention(*heads_of(params, x), real_keys(mask))
    assert_equal_where_real(
        apply(mixer, params, x, mask), projected(params, expected), mask
    )


def test_linformer_equals_attention_to_sums_of_the_real_tokens():
    mask = some_mask()
    x, mixer = some_x(), small("linformer")
    params = initialized(mixer)
    query, key, value = heads_of(params, x)
    sums = np.asarray(params["params"]["over_length"], np.float64)
    sums = sums.T * np.asarray(mask)[:, None, None]  # (b, 1, r, l)
    expected = projected(params, dense_attention(query, sums @ key, sums @ value, 1))
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


def test_linformer_of_full_rank_can_be_softmax_attention():
    x, mixer = some_x(), small("linformer", rank=LENGTH)
    params = initialized(mixer)
    params["params"]["over_length"] = jnp.eye(LENGTH)
    expected = projected(params, dense_attention(*heads_of(params, x), 1))
    np.testing.assert_allclose(
        apply(mixer, params, x, everything()), expected, atol=2e-5
    )


@pytest.mark.parametrize("rank", [0, 3])
def test_synthesizer_equals_the_softmax_of_its_matrix(rank):
    mask = some_mask()
    x, mixer = some_x(), small("synthesizer", rank=rank)
    params = initialized(mixer)
    leaves = {
        k: np.asarray(v, np.float64)
        for k, v in params["params"].items()
        if k in ("left", "right", "scores")
    }
    scores = (
        leaves["left"] @ leaves["right"].swapaxes(1, 2) if rank else leaves["scores"]
    )
    weights = np.exp(scores) * real_keys(mask)
    (value,) = heads_of(params, x, ("value",))
    expected = projected(params, weights / weights.sum(-1, keepdims=True) @ value)
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


def kernel_reference(query, key, value, mask):
    weights = query @ key.swapaxes(-1, -2) * real_keys(mask)
    return weights / weights.sum(-1, keepdims=True) @ value


def test_linear_transformer_equals_the_sum_over_pairs():
    mask = some_mask()
    x, mixer = some_x(), small("linear_transformer")
    params = initialized(mixer)
    query, key, value = heads_of(params, x)
    query, key = (np.where(z > 0, z + 1, np.exp(z)) for z in (query, key))
    expected = projected(params, kernel_reference(query, key, value, mask))
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


def test_performer_equals_the_sum_over_pairs_of_its_features():
    mask = some_mask()
    x, mixer = some_x(), small("performer")
    params = initialized(mixer)
    query, key, value = heads_of(params, x)
    head_dim = query.shape[-1]
    directions = orthogonal_directions(head_dim, 12, layer_seed(0, ()))
    query, key = (
        np.exp(z @ directions - (z**2).sum(-1, keepdims=True) / 2)
        for z in (query / head_dim**0.25, key / head_dim**0.25)
    )
    expected = projected(params, kernel_reference(query, key, value, mask))
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


def test_performer_tends_to_softmax_attention_as_features_grow():
    x, mask = some_x(scale=0.2), some_mask()
    params = initialized(small("performer"))
    expected = dense_attention(*heads_of(params, x), real_keys(mask))
    expected = projected(params, expected)[np.asarray(mask)]
    errors = []
    for num_features in (16, 256, 4096):
        mixer = small("performer", num_features=num_features)
        y = apply(mixer, params, x, mask)[np.asarray(mask)]
        errors.append(np.sqrt(np.mean((y - expected) ** 2) / np.mean(expected**2)))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] and errors[2] < 0.02


def test_performer_survives_vectors_whose_exponentials_overflow():
    x, mask, mixer = some_x(scale=100.0), some_mask(), small("performer")
    loss = jax.jit(lambda params: jnp.sum(jnp.sin(apply(mixer, params, x, mask))))
    value, gradients = jax.value_and_grad(loss)(initialized(mixer))
    assert bool(jnp.isfinite(value))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))


def test_directions_are_orthogonal_with_the_lengths_of_normal_vectors():
    directions = orthogonal_directions(8, 4000, seed=0).astype(np.float64)
    square = directions[:, 8:16]
    products = square.T @ square
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-5)
    lengths = (directions**2).sum(axis=0)  # chi-squared of 8 degrees of freedom
    assert abs(lengths.mean() - 8) < 0.3 and abs(lengths.var() - 16) < 2
    np.testing.assert_allclose(directions @ directions.T / 4000, np.eye(8), atol=0.1)
    np.testing.assert_allclose(directions.mean(axis=1), 0, atol=0.06)


def lsh_pattern(query, mask, rotations, chunk_size):
    """Which pairs of real tokens share a hash and lie in chunks side by side."""
    pattern = np.zeros((*query.shape[:2], LENGTH, LENGTH), bool)
    num_values = 2 * rotations.shape[-1]
    for b, h, r in np.ndindex(*query.shape[:2], rotations.shape[2]):
        rotated = query[b, h] @ rotations[h, :, r]
        hashed = np.argmax(np.concatenate([rotated, -rotated], axis=1), axis=1)
        hashed = np.where(mask[b], hashed, num_values)
        order = sorted(range(LENGTH), key=lambda i, hashed=hashed: (hashed[i], i))
        chunk = np.empty(LENGTH, int)
        chunk[order] = POSITIONS // chunk_size
        same = hashed[:, None] == hashed
        pattern[b, h] |= same & (np.abs(chunk[:, None] - chunk) <= 1)
    pattern &= mask[:, None, None, :]
    others = pattern & ~np.eye(LENGTH, dtype=bool)
    return np.where(others.any(-1, keepdims=True), others, pattern)


def shared_heads(params, x):
    query, value = heads_of(params, x, ("query_key", "value"))
    return query, query / np.linalg.norm(query, axis=-1, keepdims=True), value


@pytest.mark.parametrize(("chunk_size", "num_hashes"), [(5, 2), (64, 3)])
def test_reformer_equals_dense_attention_over_its_hashes(num_hashes, chunk_size):
    mask = some_mask()
    x = some_x()
    mixer = small("reformer", chunk_size=chunk_size, num_hashes=num_hashes)
    params = initialized(mixer)
    query, key, value = shared_heads(params, x)
    num_chunks = -(-LENGTH // chunk_size)
    rotations = mixer.apply(
        params, query.shape[-1], num_chunks, False, method="_rotations"
    )
    pattern = lsh_pattern(
        query, np.asarray(mask), np.asarray(rotations, np.float64), chunk_size
    )
    expected = projected(params, dense_attention(query, key, value, pattern))
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


def test_reformer_tends_to_attention_between_all_pairs_as_hashes_grow():
    x, mask = some_x(), some_mask()
    params = initialized(small("reformer"))
    not_oneself = ~np.eye(LENGTH, dtype=bool)
    expected = dense_attention(*shared_heads(params, x), not_oneself & real_keys(mask))
    expected = projected(params, expected)[np.asarray(mask)]
    errors = []
    for num_hashes in (1, 16):
        mixer = small("reformer", chunk_size=64, num_hashes=num_hashes)
        y = apply(mixer, params, x, mask)[np.asarray(mask)]
        errors.append(np.sqrt(np.mean((y - expected) ** 2) / np.mean(expected**2)))
    assert errors[0] > 0.3 and errors[1] < 0.1


def test_reformer_draws_other_hashes_for_every_training_step():
    x, mask, mixer = some_x(), some_mask(), small("reformer")
    params = initialized(mixer)
    train = jax.jit(partial(mixer.apply, train=True))
    first, again, other = (
        train(params, x, mask, rngs={"dropout": jax.random.key(seed)})
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 1e-3


def sinkhorn_reference(logits, has_tokens, num_iterations):
    """Divide by sums of rows, then of columns, over the blocks with tokens alone."""
    order = np.zeros_like(logits)
    for b, h in np.ndindex(*logits.shape[:2]):
        real = np.ix_(has_tokens[b], has_tokens[b])
        part = np.exp(logits[b, h][real])
        for _ in range(num_iterations):
            part = part / part.sum(axis=1, keepdims=True)
            part = part / part.sum(axis=0, keepdims=True)
        order[b, h][real] = part
    return order


def test_sinkhorn_equals_attention_to_own_and_sorted_blocks():
    mask = some_mask()
    x, mixer, block = some_x(), small("sinkhorn"), 5
    params = initialized(mixer)
    real = np.pad(np.asarray(mask), ((0, 0), (0, 3)))
    blocks = np.pad(np.asarray(x, np.float64), ((0, 0), (0, 3), (0, 0)))
    blocks = (blocks * real[..., None]).reshape(BATCH, 8, block, WIDTH)
    weights = params["params"]
    hidden = blocks.sum(axis=2) @ weights["sort_in"]["kernel"]
    hidden = np.maximum(hidden + weights["sort_in"]["bias"], 0)
    logits = np.einsum("bnd,dhm->bhnm", hidden, weights["sort_out"]["kernel"])
    has_tokens = real.reshape(BATCH, 8, block).any(axis=2)
    order = sinkhorn_reference(logits / 0.75, has_tokens, num_iterations=6)
    whole = np.kron(order, np.eye(block))  # of positions
    query, key, value = heads_of(params, blocks.reshape(BATCH, -1, WIDTH))
    own = np.kron(np.eye(8), np.ones((block, block))) > 0
    share = np.einsum("bhij,bj->bhi", whole, real)[:, :, None]
    of_own, of_sorted = np.broadcast_arrays(own & real_keys(real), own & (share >= 0.5))
    expected = dense_attention(
        query,
        np.concatenate([key, whole @ key], axis=2),
        np.concatenate([value, whole @ value], axis=2),
        np.concatenate([of_own, of_sorted], axis=-1),
    )
    expected = projected(params, expected)[:, :LENGTH]
    assert_equal_where_real(apply(mixer, params, x, mask), expected, mask)


def test_sinkhorn_order_is_doubly_stochastic_over_blocks_with_tokens():
    random = np.random.default_rng(0)
    has_tokens = jnp.asarray(random.random((2, 7)) > 0.3)
    pairs = has_tokens[:, None, :, None] & has_tokens[:, None, None, :]
    logits = jnp.asarray(random.normal(size=(2, 3, 7, 7)), jnp.float32)
    order = np.asarray(sinkhorn(logits, pairs, 30))
    real = np.broadcast_to(np.asarray(has_tokens)[:, None], (2, 3, 7))
    np.testing.assert_allclose(order.sum(axis=-1), real, atol=1e-4)
    np.testing.assert_allclose(order.sum(axis=-2), real, atol=1e-4)


def test_sinkhorn_order_tends_to_the_best_permutation_as_temperature_falls():
    random = np.random.default_rng(0)
    logits = random.normal(size=(1, 2, 6, 6)) + 3 * np.eye(6)[random.permutation(6)]
    order = sinkhorn(as_float(logits / 0.1), jnp.ones((1, 1, 6, 6), bool), 20)
    for head in range(2):
        rows, columns = linear_sum_assignment(-logits[0, head])
        expected = np.zeros((6, 6))
        expected[rows, columns] = 1
        np.testing.assert_allclose(order[0, head], expected, atol=1e-3)


def test_keys_sorted_by_a_permutation_are_those_of_the_block_it_names():
    random, block, num_blocks = np.random.default_rng(0), 3, 5
    permutation = np.array([2, 1, 4, 0, 3])  # one block is put where it was
    shape = (BATCH, num_blocks, block, HEADS, 4)
    query, key, value = (random.normal(size=shape) for _ in range(3))
    real = random.random(shape[:3]) > 0.2
    order = np.broadcast_to(np.eye(num_blocks)[permutation], (BATCH, HEADS, 5, 5))
    own = Keys(as_float(key), as_float(value), jnp.asarray(real)[:, :, None, None])
    key, value = (part * real[..., None, None] for part in (key, value))
    other = sorted_keys(*map(as_float, (order, key, value)), jnp.asarray(real))
    no_dropout = nn.Dropout(0.0, deterministic=True).bind({})
    y = attend(as_float(query), [own, other], no_dropout)
    own, named = np.eye(num_blocks), np.eye(num_blocks)[permutation]
    counts = np.kron(own + named, np.ones((block, block)))
    expected = dense_attention(
        *(
            part.reshape(BATCH, -1, HEADS, 4).swapaxes(1, 2)
            for part in (query, key, value)
        ),
        counts * real.reshape(BATCH, 1, 1, -1),
    )
    np.testing.assert_allclose(
        y.reshape(BATCH, -1, HEADS, 4).swapaxes(1, 2), expected, atol=1e-5
    )


@pytest.mark.parametrize("name", SMALL)
def test_padding_reaches_no_real_token_in_any_block(name):
    x, mask, mixer = some_x(), some_mask(), small(name)
    params = initialized(mixer)
    poisoned = jnp.where(mask[..., None], x, 1e3)
    clean, dirty = (apply(mixer, params, value, mask) for value in (x, poisoned))
    assert np.abs(clean - dirty)[np.asarray(mask)].max() < 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_finite_and_reach_every_parameter_of_many_blocks(name):
    x, mixer = some_x(), small(name)
    mask = some_mask().at[2].set(False)  # padding alone

    @jax.jit
    @jax.grad
    def gradients(both):
        return jnp.sum(jnp.sin(mixer.apply(*both, mask, train=False)))

    for path, leaf in jax.tree.leaves_with_path(gradients((initialized(mixer), x))):
        assert bool(jnp.isfinite(leaf).all()), path
        assert float(jnp.abs(leaf).max()) > 0, path


@pytest.mark.parametrize("name", ["local", "linformer", "synthesizer", "performer"])
def test_bfloat16_is_close_to_float32(name):
    x, mask, mixer = some_x(), some_mask(), small(name)
    params = initialized(mixer)
    wide = apply(mixer, params, x, mask)
    narrow = apply(mixer, params, x.astype(jnp.bfloat16), mask)
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        narrow.astype(np.float32), wide, atol=0.05 * np.abs(wide).max()
    )


@pytest.mark.parametrize("for_platform", ["gpu"], indirect=True)
@pytest.mark.parametrize(
    "name", ["local", "sparse", "longformer", "sinkhorn", "bigbird"]
)
def test_a_few_examples_at_a_time_give_what_all_at_once_give(
    name, for_platform, monkeypatch
):
    x, mask, mixer = some_x(), some_mask(), small(name)
    monkeypatch.setattr(_blocks, "_weights_of_an_example", lambda *_: 1)
    outcomes = []
    for examples in (3, 2, 1):
        monkeypatch.setattr(_blocks, "MOST_WEIGHTS_ELSEWHERE", examples)

        @jax.value_and_grad
        def loss(both):
            return jnp.sum(jnp.sin(mixer.apply(*both, mask, train=False)))

        outcomes.append(jax.jit(loss)((initialized(mixer), x)))
    for outcome in outcomes[1:]:
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
            outcome,
            outcomes[0],
        )


@pytest.mark.parametrize("for_platform", ["gpu"], indirect=True)
def test_dropout_of_an_example_at_a_time_is_its_own_and_right_on_average(
    for_platform, monkeypatch
):
    monkeypatch.setattr(_blocks, "MOST_WEIGHTS_ELSEWHERE", 1)
    x, mixer = some_x().at[1:].set(some_x()[0]), small("local", dropout_rate=0.5)
    params, everywhere = initialized(mixer), everything()

    @jax.jit
    @jax.vmap
    def draws(key):
        key = {"dropout": dropout_key(key)}
        return mixer.apply(params, x, everywhere, train=True, rngs=key)

    drawn = draws(jax.random.split(jax.random.key(0), 400))
    assert np.abs(drawn[:, 0] - drawn[:, 1]).max() > 0.1
    error = drawn.std(axis=0) / 20
    off = (drawn.mean(axis=0) - apply(mixer, params, x, everywhere)) / error
    assert np.abs(off).max() < 6 and 0.8 < off.std() < 1.2


def largest_array(jaxpr):
    """The number of elements of the largest array a program makes."""
    sizes = [1]
    for equation in jaxpr.eqns:
        sizes += [out.aval.size for out in equation.outvars]
        for inner in jaxprs_in_params(equation.params):
            sizes.append(largest_array(inner))
    return max(sizes)


@pytest.mark.parametrize("name", BLOCKWISE)
def test_no_array_holds_all_pairs_of_positions(name):
    length = 2048
    sizes = {"local": {"block_size": 32}, "sparse": {"block_size": 64}}
    sizes |= {"longformer": {"window_size": 32}, "bigbird": {"block_size": 16}}
    sizes |= {"sinkhorn": {"block_size": 32}}
    sizes |= {"reformer": {"chunk_size": 32, "num_hashes": 1}}
    mixer = small(name, num_heads=1, qkv_dim=4, **sizes[name])
    x = jax.ShapeDtypeStruct((1, length, 4), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, length), bool)
    params = jax.eval_shape(
        lambda x, m: mixer.init(jax.random.key(0), x, m, train=False), x, mask
    )
    program = jax.make_jaxpr(lambda *args: mixer.apply(*args, train=False))
    assert largest_array(program(params, x, mask).jaxpr) < length**2 / 4
