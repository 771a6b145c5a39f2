from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lec7.models import convolution, max_pool
from lec7.models.convolution import cpu_convolution

NUMBERS = ("NHWC", "HWIO", "NHWC")


def assert_xlas(x, k, strides, padding, groups=1):
    """Outputs and both gradients are those of XLA's convolution."""

    def mine(x, k):
        return cpu_convolution(x, k, strides, padding, feature_group_count=groups)

    def xla(x, k):
        return lax.conv_general_dilated(x, k, strides, padding, dimension_numbers=NUMBERS, feature_group_count=groups)

    @jax.jit
    def outputs_and_gradients(x, k):
        found = []
        for f in (mine, xla):
            y, pull = jax.vjp(f, x, k)
            found.append((y, *pull(jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))))
        return found

    for new, old in zip(*outputs_and_gradients(x, k), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-12, atol=1e-12)


def normal(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((2, 1), (0, 3))])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 5)])
def test_patches_agree_with_xla_forwards_and_backwards(x64, padding, strides, kernel):
    assert_xlas(*normal((2, 9, 8, 3), (*kernel, 3, 4)), strides, padding)


@pytest.mark.parametrize("kernel", [(4, 4), (2, 3), (5, 1)])
def test_patches_side_by_side_agree_with_xla_forwards_and_backwards(x64, kernel):
    """Strides are the kernel's size, as in a transformer; what is left over at the far edges is seen by none."""
    assert_xlas(*normal((2, 9, 8, 3), (*kernel, 3, 4)), kernel, "VALID")


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((2, 1), (0, 3))])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 5)])
def test_depthwise_convolution_agrees_with_xla_forwards_and_backwards(x64, padding, strides, kernel):
    assert_xlas(*normal((2, 9, 8, 3), (*kernel, 1, 3)), strides, padding, groups=3)


def test_depthwise_convolution_is_not_handed_to_xla():
    x, k = normal((1, 8, 8, 4), (3, 3, 1, 4))
    program = jax.make_jaxpr(lambda x, k: cpu_convolution(x, k, (1, 1), "SAME", feature_group_count=4))(x, k)
    assert "conv_general_dilated" not in str(program)


@pytest.mark.parametrize("options", [{"rhs_dilation": (2, 2)}, {"feature_group_count": 3}])
def test_what_is_no_plain_convolution_is_xlas(options):
    rng = np.random.default_rng(0)
    groups = options.get("feature_group_count", 1)
    x, k = jnp.asarray(rng.normal(size=(2, 9, 8, 3))), jnp.asarray(rng.normal(size=(3, 3, 3 // groups, 6)))
    expected = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NUMBERS, **options)
    np.testing.assert_array_equal(cpu_convolution(x, k, (1, 1), "SAME", **options), expected)


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((2, 1), (0, 3))])
@pytest.mark.parametrize("size", [(10, 10), (11, 12), (13, 11)])
def test_winograd_agrees_with_xla_forwards_and_backwards(x64, padding, size):
    x, k = normal((2, *size, 16), (3, 3, 16, 17))
    assert_xlas(x, k, (1, 1), padding)
    products = str(jax.make_jaxpr(lambda x, k: cpu_convolution(x, k, (1, 1), padding))(x, k)).count("dot_general")
    assert products == 16


def test_winograd_has_second_derivatives_forwards_over_backwards(x64):
    x, k, v = normal((1, 8, 8, 16), (3, 3, 16, 16), (3, 3, 16, 16))

    def product(convolution):
        def loss(k):
            return jnp.sum(jnp.sin(convolution(x, k, (1, 1), "SAME")))

        return jax.jit(lambda k: jax.jvp(jax.grad(loss), (k,), (v,))[1])(k)

    xla = partial(lax.conv_general_dilated, dimension_numbers=NUMBERS)
    np.testing.assert_allclose(product(cpu_convolution), product(xla), rtol=1e-10, atol=1e-10)


def test_winograd_rounds_no_more_than_twice_as_much_as_xla():
    """Against XLA's in float64, in root mean square."""
    with jax.enable_x64(True):
        x, k = normal((4, 14, 14, 64), (3, 3, 64, 64))
        exact = np.asarray(lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NUMBERS))
    x, k = np.float32(x), np.float32(k)
    mine = cpu_convolution(x, k, (1, 1), "SAME")
    xla = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NUMBERS)
    error, usual = (np.sqrt(np.mean((np.float64(y) - exact) ** 2)) for y in (mine, xla))
    assert 0 < error < 2 * usual


@pytest.mark.parametrize(
    ("x", "k", "strides", "dtype"),
    [
        ((1, 6, 6, 16), (3, 3, 16, 16), (1, 1), "float32"),
        ((1, 8, 8, 15), (3, 3, 15, 16), (1, 1), "float32"),
        ((1, 8, 8, 16), (3, 3, 16, 16), (1, 2), "float32"),
        ((1, 8, 8, 16), (3, 5, 16, 16), (1, 1), "float32"),
        ((1, 8, 8, 16), (3, 3, 16, 16), (1, 1), "bfloat16"),
        ((1, 8, 8, 16), (3, 3, 16, 16), (1, 1), "int32"),
    ],
)
def test_winograd_is_left_where_it_does_not_pay(x, k, strides, dtype):
    x, k = jnp.ones(x, dtype), jnp.ones(k, dtype)
    program = jax.make_jaxpr(lambda x, k: cpu_convolution(x, k, strides, "SAME"))(x, k)
    assert str(program).count("dot_general") == 1


def test_the_backend_chooses():
    assert convolution("cpu") is cpu_convolution
    assert convolution("gpu") is lax.conv_general_dilated


@pytest.mark.parametrize(
    ("size", "shape"), [(1, (2, 5, 4, 3)), (2, (2, 6, 8, 3)), (2, (2, 7, 5, 3)), (3, (1, 9, 10, 2))]
)
def test_max_pool_is_a_window_reduction(size, shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape))
    window = (1, size, size, 1)
    np.testing.assert_array_equal(max_pool(x, size), lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID"))


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 2, 1), (3, 1, 1), (2, 3, 0), (3, 2, 0)])
def test_max_pool_over_windows_that_overlap_or_leave_gaps_is_a_window_reduction(size, stride, padding):
    x = -1 - jnp.abs(jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 8, 3))))  # zeros of padding would show
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    expected = lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), edges)
    np.testing.assert_array_equal(max_pool(x, size, stride=stride, padding=padding), expected)
