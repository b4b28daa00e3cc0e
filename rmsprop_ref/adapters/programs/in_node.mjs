// Optimisers in JavaScript: a program that answers JSON lines.
//
// `node in_node.mjs NAME FOLDER`, where FOLDER has the node_modules and NAME is one of the functions
// below. Each takes its library's own arguments, with a learning rate that may be a list, one a step,
// and yields the parameters after each step.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { resolve } from "node:path";

const [name, folder] = process.argv.slice(2);
const require = createRequire(resolve(folder, "x.js"));

const rate = (lr, t) => (Array.isArray(lr) ? lr[t] : lr);

function* tfjs(theta0, grads, { learningRate, decay, momentum, epsilon, centered }) {
  const tf = require("@tensorflow/tfjs-core");
  require("@tensorflow/tfjs-backend-cpu");
  // An argument that is undefined has the library's default.
  const optimiser = tf.train.rmsprop(rate(learningRate, 0), decay, momentum, epsilon, centered);
  const theta = tf.tensor1d(theta0, "float32").variable();
  for (const [t, grad] of grads.entries()) {
    optimiser.learningRate = rate(learningRate, t); // the library has no method for it
    tf.tidy(() => optimiser.applyGradients({ [theta.name]: tf.tensor1d(grad, "float32") }));
    yield theta.dataSync();
  }
  optimiser.dispose();
  theta.dispose();
}

function* convnetjs(theta0, grads, { learning_rate, ...options }) {
  const { Trainer } = require("convnetjs");
  // All that a trainer asks of a network is its parameters, with their gradients.
  const params = Float64Array.from(theta0);
  let row;
  const net = {
    forward() {},
    backward: () => 0,
    getParamsAndGrads: () => [{ params, grads: Float64Array.from(row) }],
  };
  const trainer = new Trainer(net, { method: "windowgrad", ...options });
  for (const [t, grad] of grads.entries()) {
    row = grad;
    trainer.learning_rate = rate(learning_rate, t) ?? trainer.learning_rate;
    trainer.train();
    yield params;
  }
}

// JavaScript does not read "0x1.8p+3": 0x18 times 2 to the power 3 - 4.
function number(text) {
  const hex = /^(-?)0x(.+?)\.?([0-9a-f]*)p(.+)$/.exec(text);
  if (!hex) return Number(text.replace("nan", "NaN").replace("inf", "Infinity"));
  const [, sign, whole, fraction, exponent] = hex;
  return (sign ? -1 : 1) * parseInt(whole + fraction, 16) * 2 ** (exponent - 4 * fraction.length);
}

// JSON has no NaN and no infinity, and JSON.stringify(-0) is 0.
const written = (x) => (Object.is(x, -0) ? "-0x0p+0" : Number.isFinite(x) ? x : String(x));

const run = { tfjs, convnetjs }[name];
for await (const line of createInterface({ input: process.stdin })) {
  const { id, arguments: given, theta0, grads } = JSON.parse(line);
  try {
    const rows = run(theta0.map(number), grads.map((row) => row.map(number)), given);
    const trajectory = Array.from(rows, (row) => Array.from(row, written));
    console.log(JSON.stringify({ id, trajectory }));
  } catch (error) {
    console.log(JSON.stringify({ id, error: String(error) }));
  }
}
