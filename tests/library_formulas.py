"""What libraries do in a step, typed in NumPy from their sources, operation by operation.

Each function has the name of a dialect. It takes θ, the gradients, the learning rate of each step,
and the library's own arguments, and yields θ after each step. The files are those that the dialect
names as its source; what is said above a function is said of nothing else.
"""

import numpy as np


def zeros(theta, count):
    return [np.zeros_like(theta) for _ in range(count)]


# In papers, and in Lua


def graves(theta, grads, lr, aleph, beth, daleth):
    n, g, delta = zeros(theta, 3)
    for gimel, e in zip(lr, grads, strict=True):
        n = aleph * n + (1 - aleph) * e**2
        g = aleph * g + (1 - aleph) * e
        delta = beth * delta - gimel * e / np.sqrt(n - g**2 + daleth)
        theta = theta + delta
        yield theta


def torch7(theta, grads, lr, alpha, epsilon, weightDecay, initialMean):
    m = np.full_like(theta, initialMean)
    for rate, dfdx in zip(lr, grads, strict=True):
        dfdx = dfdx + weightDecay * theta
        m = m * alpha
        m = m + (1.0 - alpha) * dfdx * dfdx
        tmp = np.sqrt(m) + epsilon
        theta = theta + -rate * dfdx / tmp
        yield theta


def dqn(theta, grads, lr, wc):
    g, g2, deltas = zeros(theta, 3)
    for rate, grad in zip(lr, grads, strict=True):
        dw = -grad  # the network hands back the direction of ascent
        dw = dw + -wc * theta
        g = g * 0.95 + 0.05 * dw
        g2 = g2 * 0.95 + 0.05 * (dw * dw)
        tmp = g * g
        tmp = tmp * -1
        tmp = tmp + g2
        tmp = tmp + 0.01
        tmp = np.sqrt(tmp)
        deltas = deltas * 0 + rate * dw / tmp
        theta = theta + deltas
        yield theta


# In Theano, and beside it


def lasagne(theta, grads, lr, rho, epsilon, momentum, nesterov):
    accu, velocity = zeros(theta, 2)
    for learning_rate, grad in zip(lr, grads, strict=True):
        accu = rho * accu + (1 - rho) * grad**2
        update = theta - (learning_rate * grad / np.sqrt(accu + epsilon))
        if nesterov:  # apply_nesterov_momentum
            velocity = momentum * velocity + update - theta
            theta = momentum * velocity + update
        else:  # apply_momentum
            x = momentum * velocity + update
            velocity = x - theta
            theta = x
        yield theta


pymc = lasagne


def deep_q_rl(theta, grads, lr, rho, epsilon):
    acc_grad, acc_rms = zeros(theta, 2)
    for learning_rate, grad in zip(lr, grads, strict=True):
        acc_grad = rho * acc_grad + (1 - rho) * grad
        acc_rms = rho * acc_rms + (1 - rho) * grad**2
        theta = theta - learning_rate * (grad / np.sqrt(acc_rms - acc_grad**2 + epsilon))
        yield theta


def blocks(theta, grads, lr, decay_rate, max_scaling):
    (mean_square,) = zeros(theta, 1)
    for learning_rate, previous_step in zip(lr, grads, strict=True):
        mean_square = decay_rate * mean_square + (1 - decay_rate) * previous_step**2
        rms = np.maximum(np.sqrt(mean_square), 1.0 / max_scaling)
        step = previous_step / rms
        theta = theta - learning_rate * step
        yield theta


def pylearn2(theta, grads, lr, decay, max_scaling):
    (mean_square,) = zeros(theta, 1)
    for learning_rate, grad in zip(lr, grads, strict=True):
        mean_square = decay * mean_square + (1 - decay) * grad**2
        rms = np.maximum(np.sqrt(mean_square), 1.0 / max_scaling)
        theta = theta + -learning_rate * grad / rms
        yield theta


def climin(theta, grads, lr, decay):
    moving_mean_squared = 1
    for step_rate, gradient in zip(lr, grads, strict=True):
        moving_mean_squared = decay * moving_mean_squared + (1 - decay) * gradient**2
        step2 = step_rate * gradient
        step2 = step2 / np.sqrt(moving_mean_squared + 1e-8)
        theta = theta - step2
        yield theta


def climin_asks(theta, gradient_at, step_rate, decay, momentum, steps):
    """The points at which climin takes the gradient, and what it holds after each step."""
    moving_mean_squared, step = 1, 0
    for _ in range(steps):
        step1 = step * momentum
        theta = theta - step1
        asked = theta
        gradient = gradient_at(theta)
        moving_mean_squared = decay * moving_mean_squared + (1 - decay) * gradient**2
        step2 = step_rate * gradient
        step2 = step2 / np.sqrt(moving_mean_squared + 1e-8)
        theta = theta - step2
        step = step1 + step2
        yield asked, gradient, theta


def neon(theta, grads, lr, decay_rate, epsilon):
    (state,) = zeros(theta, 1)
    for lrate, grad in zip(lr, grads, strict=True):
        state = decay_rate * state + np.square(grad) * (1.0 - decay_rate)
        scale_factor = 1
        theta = theta - (scale_factor * grad * lrate) / (np.sqrt(state + epsilon) + epsilon)
        yield theta


# In C++


def libtorch(theta, grads, lr, alpha, eps, weight_decay, momentum, centered):
    square_average, grad_average, buffer = zeros(theta, 3)
    for learning_rate, grad in zip(lr, grads, strict=True):
        if weight_decay > 0:
            grad = grad + weight_decay * theta
        square_average = square_average * alpha + grad * grad * (1.0 - alpha)
        if centered:
            grad_average = grad_average * alpha + grad * (1.0 - alpha)
            average = np.sqrt(square_average + grad_average * grad_average * -1.0) + eps
        else:
            average = np.sqrt(square_average) + eps
        if momentum > 0:
            buffer = buffer * momentum + grad / average
            theta = theta + buffer * -learning_rate
        else:
            theta = theta + grad / average * -learning_rate
        yield theta


r_torch = libtorch  # the same calls, from R


def caffe(theta, grads, lr, rms_decay, delta, weight_decay):
    (history,) = zeros(theta, 1)
    for local_rate, diff in zip(lr, grads, strict=True):
        diff = weight_decay * theta + diff
        history = (1 - rms_decay) * diff**2 + rms_decay * history
        update = history**0.5
        update = update + delta
        update = diff / update
        theta = theta - local_rate * update
        yield theta


def caffe2(theta, grads, lr, decay, momentum, epsilon, mean_squares):
    ms, mom = np.full_like(theta, mean_squares), np.zeros_like(theta)
    for rate, g in zip(lr, grads, strict=True):
        ms = ms + (1.0 - decay) * (g * g - ms)
        mom = mom * momentum + rate * g / np.sqrt(epsilon + ms)
        theta = theta - mom
        yield theta


def ensmallen(theta, grads, lr, alpha, epsilon):
    (mean_squared_gradient,) = zeros(theta, 1)
    for step_size, gradient in zip(lr, grads, strict=True):
        mean_squared_gradient = mean_squared_gradient * alpha
        mean_squared_gradient = mean_squared_gradient + (1 - alpha) * (gradient * gradient)
        theta = theta - step_size * gradient / (np.sqrt(mean_squared_gradient) + epsilon)
        yield theta


def flashlight(theta, grads, lr, rho, epsilon, weightDecay, use_first):
    first, second = zeros(theta, 2)
    for rate, grad in zip(lr, grads, strict=True):
        theta = theta - weightDecay * theta
        second = rho * second + (1 - rho) * grad * grad
        moments = second
        if use_first:
            first = rho * first + (1 - rho) * grad
            moments = moments - first * first
        theta = theta - (rate * grad) / (np.sqrt(moments) + epsilon)
        yield theta


def tiny_dnn(theta, grads, lr, mu):
    (g,) = zeros(theta, 1)
    for alpha, dW in zip(lr, grads, strict=True):
        g = mu * g + (1 - mu) * dW * dW
        theta = theta - alpha * dW / np.sqrt(g + 1e-8)
        yield theta


def dynet(theta, grads, lr, eps, rho, clipping_enabled):
    assert not clipping_enabled
    (h,) = zeros(theta, 1)
    for learning_rate, g in zip(lr, grads, strict=True):
        h = h * rho + g**2 * (1 - rho)
        g = -g / np.sqrt(h + eps)
        theta = theta + learning_rate * g / 1.0  # current_weight_decay()
        yield theta


def nnabla(theta, grads, lr, decay, eps):
    (e_sqr_grad,) = zeros(theta, 1)
    for rate, grad in zip(lr, grads, strict=True):
        e_sqr_grad = e_sqr_grad * decay + grad * grad * (1 - decay)
        theta = theta - rate / (np.sqrt(e_sqr_grad) + eps) * grad
        yield theta


def nnabla_graves(theta, grads, lr, decay, momentum, eps):
    n, g, d = zeros(theta, 3)
    for rate, grad in zip(lr, grads, strict=True):
        n = decay * n + (1 - decay) * grad * grad
        g = decay * g + (1 - decay) * grad
        d = momentum * d - rate * grad / np.sqrt(n - g * g + eps)
        theta = theta + d
        yield theta


def monolith(theta, grads, lr, beta1, beta2, epsilon, weight_decay):
    m, v = zeros(theta, 2)
    for rate, grad in zip(lr, grads, strict=True):
        grad_after_decay = weight_decay * theta + grad
        v = v + (grad_after_decay**2 - v) * (1.0 - beta2)
        m = beta1 * m + (grad_after_decay * rate) * (1 / np.sqrt(v + epsilon))
        theta = theta - m
        yield theta


def monolith_embeddings(theta, grads, lr, weight_decay_factor, momentum):
    (n,) = zeros(theta, 1)
    for grad in grads:
        dx = grad + weight_decay_factor * theta
        n = momentum * n + (1 - momentum) * dx * dx
        eta = lr[0] / (np.sqrt(n) + 1)
        theta = theta - eta * dx
        yield theta


# In Rust


def burn(theta, grads, lr, alpha, momentum, epsilon, centered, weight_decay):
    square_avg = grad_avg = buf = None
    for rate, grad in zip(lr, grads, strict=True):
        grad = theta * (weight_decay or 0) + grad
        squared = grad**2 * (1 - alpha)
        square_avg = squared if square_avg is None else square_avg * alpha + squared
        avg = square_avg
        if centered:
            constant = grad * (1 - alpha)
            grad_avg = constant if grad_avg is None else grad_avg * alpha + constant
            avg = square_avg - grad_avg**2
        grad = grad / (np.sqrt(avg) + epsilon)
        if momentum > 0:
            buf = grad if buf is None else buf * momentum + grad
            grad = buf
        theta = theta - grad * rate
        yield theta


def candle(theta, grads, lr, alpha, eps, weight_decay, momentum, centered):
    v, g_avg, b = zeros(theta, 3)
    for rate, grad in zip(lr, grads, strict=True):
        if weight_decay is not None:
            grad = grad + weight_decay * theta
        v = alpha * v + (1.0 - alpha) * grad**2.0
        v_tilde = v
        if centered:
            g_avg = alpha * g_avg + (1.0 - alpha) * grad
            v_tilde = v - g_avg**2.0
        step = grad / (np.sqrt(v_tilde) + eps)
        if momentum is not None:
            b = momentum * b + step
            step = b
        theta = theta - rate * step
        yield theta


def dfdx(theta, grads, lr, alpha, eps, momentum, centered, weight_decay, decoupled):
    s_avg, (g_avg, m) = np.ones_like(theta), zeros(theta, 2)
    for rate, g in zip(lr, grads, strict=True):
        if weight_decay is not None and not decoupled:
            g = g + weight_decay * theta
        s_avg = s_avg + (1 - alpha) * (g * g - s_avg)
        if centered:
            g_avg = g_avg + (1 - alpha) * (g - g_avg)
            avg = np.sqrt(s_avg - g_avg**2 + eps)
        else:
            avg = np.sqrt(s_avg + eps)
        g = g / avg
        if momentum is not None:
            m = m * momentum + g
            g = m * rate
        else:
            g = g * rate
        if weight_decay is not None and decoupled:
            g = g + weight_decay * rate * theta
        theta = theta - g
        yield theta


# In Julia, Java and Go


def flux(theta, grads, lr, rho, epsilon):
    (acc,) = zeros(theta, 1)
    for eta, delta in zip(lr, grads, strict=True):
        acc = rho * acc + (1 - rho) * delta * np.conj(delta)
        delta = delta * (eta / (np.sqrt(acc) + epsilon))
        theta = theta - delta
        yield theta


def optimisers_jl(theta, grads, lr, rho, epsilon, centred):
    quad, lin = zeros(theta, 2)
    for eta, dx in zip(lr, grads, strict=True):
        quad = rho * quad + (1 - rho) * np.abs(dx) ** 2
        if centred:
            lin = rho * lin + (1 - rho) * dx
        theta = theta - dx * eta / (np.sqrt(quad - np.abs(lin) ** 2) + epsilon)
        yield theta


def dl4j(theta, grads, lr, rmsDecay, epsilon):
    st = np.full_like(theta, epsilon)
    for rate, grad in zip(lr, grads, strict=True):
        st = st * rmsDecay + grad * grad * (1 - rmsDecay)
        theta = theta - (rate * grad) / (np.sqrt(st) + epsilon)
        yield theta


def gorgonia(theta, grads, lr, eps, rho, l2reg):
    (cw,) = zeros(theta, 1)
    for eta, gt in zip(lr, grads, strict=True):
        gt2 = gt**2
        cw = cw * rho
        gt2 = gt2 * (1.0 - rho)
        cw = cw + gt2
        upd = 1 / np.sqrt(cw + eps)
        gt = gt * -eta
        upd = upd * gt
        upd = upd - theta * l2reg
        theta = theta + upd
        yield theta


# Libraries that the atlas runs


def pytorch(theta, grads, lr, alpha, eps, weight_decay, momentum, centered):
    square_avg, grad_avg, buf = zeros(theta, 3)
    for rate, grad in zip(lr, grads, strict=True):
        if weight_decay != 0:
            grad = grad + weight_decay * theta
        square_avg = square_avg * alpha + (1 - alpha) * grad * grad
        if centered:
            grad_avg = grad_avg + (1 - alpha) * (grad - grad_avg)
            avg = np.sqrt(square_avg + -1 * grad_avg * grad_avg)
        else:
            avg = np.sqrt(square_avg)
        avg = avg + eps
        if momentum > 0:
            buf = buf * momentum + grad / avg
            theta = theta + -rate * buf
        else:
            theta = theta + -rate * grad / avg
        yield theta


def stable_baselines3(theta, grads, lr, alpha, eps, weight_decay, momentum, centered):
    square_avg, (grad_avg, buf) = np.ones_like(theta), zeros(theta, 2)
    for rate, grad in zip(lr, grads, strict=True):
        if weight_decay != 0:
            grad = grad + weight_decay * theta
        square_avg = square_avg * alpha + (1 - alpha) * grad * grad
        if centered:
            grad_avg = grad_avg * alpha + (1 - alpha) * grad
            avg = np.sqrt(square_avg + -1 * grad_avg * grad_avg + eps)
        else:
            avg = np.sqrt(square_avg + eps)
        if momentum > 0:
            buf = buf * momentum + grad / avg
            theta = theta + -rate * buf
        else:
            theta = theta + -rate * grad / avg
        yield theta


def tf1(theta, grads, lr, decay, momentum, epsilon, centered):
    ms, (mg, mom) = np.ones_like(theta), zeros(theta, 2)
    for rate, grad in zip(lr, grads, strict=True):
        ms = ms + (grad**2 - ms) * (1 - decay)
        denom = ms + epsilon
        if centered:
            mg = mg + (grad - mg) * (1 - decay)
            denom = (ms - mg**2) + epsilon
        mom = mom * momentum + (grad * rate) / np.sqrt(denom)
        theta = theta - mom
        yield theta


def keras_legacy(theta, grads, lr, rho, momentum, epsilon, centered):
    rms, mg, mom = zeros(theta, 3)
    for lr_t, grad in zip(lr, grads, strict=True):
        if momentum:  # the operators of TensorFlow 1
            rms = rms + (grad**2 - rms) * (1 - rho)
            denom = rms + epsilon
            if centered:
                mg = mg + (grad - mg) * (1 - rho)
                denom = (rms - mg**2) + epsilon
            mom = mom * momentum + (grad * lr_t) / np.sqrt(denom)
            theta = theta - mom
        else:
            rms = rho * rms + (1 - rho) * grad**2
            denom = rms
            if centered:
                mg = rho * mg + (1 - rho) * grad
                denom = rms - mg**2
            theta = theta - lr_t * grad / (np.sqrt(denom) + epsilon)
        yield theta


def keras3(theta, grads, lr, rho, momentum, epsilon, centered, weight_decay):
    velocity, average_grad, mom = zeros(theta, 3)
    for rate, gradient in zip(lr, grads, strict=True):
        theta = theta - theta * (weight_decay or 0) * rate
        velocity = rho * velocity + (1 - rho) * gradient**2
        if centered:
            average_grad = rho * average_grad + (1 - rho) * gradient
            denominator = velocity - average_grad**2 + epsilon
        else:
            denominator = velocity + epsilon
        increment = rate * gradient / np.sqrt(denominator)
        if momentum > 0:
            mom = momentum * mom + increment
            theta = theta - mom
        else:
            theta = theta - increment
        yield theta


def mxnet2(theta, grads, lr, rho, momentum, epsilon, centered, wd):
    mean, var, mom = zeros(theta, 3)
    for rate, grad in zip(lr, grads, strict=True):
        grad = grad + wd * theta
        if not centered:
            var = var * rho
            var = var + (1 - rho) * grad**2
            theta = theta - rate * (grad / (np.sqrt(var) + epsilon))
        else:
            mean = mean * rho
            mean = mean + (1 - rho) * grad
            var = var * rho
            var = var + (1 - rho) * grad**2
            mom = mom * momentum
            mom = mom - rate * grad / np.sqrt(var - mean**2 + epsilon)
            theta = theta + mom
        yield theta


def autograd(theta, grads, lr, gamma, eps):
    avg_sq_grad = np.ones_like(theta)
    for g in grads:
        avg_sq_grad = avg_sq_grad * gamma + g**2 * (1 - gamma)
        theta = theta - lr[0] * g / (np.sqrt(avg_sq_grad) + eps)
        yield theta


def trax(theta, grads, lr, gamma, eps):
    avg_sq_grad = np.ones_like(theta)
    for rate, g in zip(lr, grads, strict=True):
        avg_sq_grad = avg_sq_grad * gamma + g**2 * (1.0 - gamma)
        theta = theta - (rate * g / (np.sqrt(avg_sq_grad) + eps))
        yield theta


def flax(theta, grads, lr, beta2, eps, centered):
    v, mg = zeros(theta, 2)
    for rate, grad in zip(lr, grads, strict=True):
        v = beta2 * v + (1.0 - beta2) * np.square(grad)
        maybe_centered_v = v
        if centered:
            mg = beta2 * mg + (1.0 - beta2) * grad
            maybe_centered_v = v - np.square(mg)
        theta = theta - rate * grad / (np.sqrt(maybe_centered_v) + eps)
        yield theta


def optax(
    theta,
    grads,
    lr,
    decay,
    eps,
    initial_scale,
    eps_in_sqrt,
    centered,
    momentum,
    nesterov,
    bias_correction,
):
    nu, (mu, trace) = np.full_like(theta, initial_scale), zeros(theta, 2)
    for count, (rate, g) in enumerate(zip(lr, grads, strict=True), 1):
        nu = (1 - decay) * g**2 + decay * nu
        mu = (1 - decay) * g + decay * mu
        correction = 1 - decay**count if bias_correction else 1
        square, mean = nu / correction, mu / correction
        if centered:
            square = square - mean**2
        scaling = 1 / np.sqrt(square + eps) if eps_in_sqrt else 1 / (np.sqrt(square) + eps)
        update = -rate * (scaling * g)
        if momentum is not None:
            trace = update + momentum * trace
            update = update + momentum * trace if nesterov else trace
        theta = theta + update
        yield theta


def d2l(theta, grads, lr, gamma):
    (s,) = zeros(theta, 1)
    for rate, grad in zip(lr, grads, strict=True):
        s = gamma * s + (1 - gamma) * grad**2
        theta = theta - rate * grad / np.sqrt(s + 1e-6)
        yield theta


NOT_FORMULAS = ("zeros", "climin_asks")
FORMULAS = {
    name: function
    for name, function in globals().items()
    if callable(function) and name not in NOT_FORMULAS
}
