// RMSProp as a program for the oracle to ask: a request a line in, an answer a line out.
import { createInterface } from "node:readline";

// JavaScript does not read "0x1.8p+3": 0x18 times 2 to the power 3 - 4.
function number(text) {
  const hex = /^(-?)0x(.+?)\.?([0-9a-f]*)p(.+)$/.exec(text);
  if (!hex) return Number(text.replace("nan", "NaN").replace("inf", "Infinity"));
  const [, sign, whole, fraction, exponent] = hex;
  return (sign ? -1 : 1) * parseInt(whole + fraction, 16) * 2 ** (exponent - 4 * fraction.length);
}

// JSON has no NaN and no infinity, and JSON.stringify(-0) is 0.
const written = (x) => (Object.is(x, -0) ? "-0x0p+0" : Number.isFinite(x) ? x : String(x));

function trajectory([lr, beta, eps_in, eps_out], theta, grads, r) {
  let v = theta.map(() => 0);
  return grads.map((g) => {
    v = v.map((v, i) => r(r(r(beta) * v) + r(r(1 - beta) * r(g[i] * g[i]))));
    const d = v.map((v) => r(r(Math.sqrt(r(v + r(eps_in)))) + r(eps_out)));
    theta = theta.map((theta, i) => r(theta - r(r(r(lr) * g[i]) / d[i])));
    return theta.map(written);
  });
}

const others = ["eps_floor", "v0", "bias_correction", "centered", "momentum", "weight_decay"];
const rounding = { float32: Math.fround, float64: (x) => x }; // r above: after each operation
for await (const line of createInterface({ input: process.stdin })) {
  const { id, dtype, rule, theta0, grads } = JSON.parse(line);
  const used = others.filter((name) => ![false, "0x0p+0"].includes(rule[name]));
  if (used.length || Array.isArray(rule.lr) || !rounding[dtype]) {
    console.log(JSON.stringify({ id, unsupported: "plain RMSProp only, in float32 or float64" }));
    continue;
  }
  const h = [rule.lr, rule.beta, rule.eps_in, rule.eps_out].map(number);
  const rows = grads.map((row) => row.map(number));
  const answer = trajectory(h, theta0.map(number), rows, rounding[dtype]);
  console.log(JSON.stringify({ id, trajectory: answer }));
}
