// The protocol in twenty lines: one rule, lr=0.01,beta=0.9,eps_out=1e-8, in float64.
import { createInterface } from "node:readline";

function number(text) { // "-0x1.8p+3": minus 0x18, times 2 to the power of 3 - 4
  const [, sign, whole, part, power] = /^(-?)0x(\d)\.?([0-9a-f]*)p(.+)$/.exec(text) ?? [];
  if (whole === undefined) return Number(text.replace("nan", "NaN").replace("inf", "Infinity"));
  return (sign ? -1 : 1) * parseInt(whole + part, 16) * 2 ** (power - 4 * part.length);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, theta0, grads } = JSON.parse(line);
  const theta = theta0.map(number), v = theta0.map(() => 0);
  const rows = grads.map((grad) => grad.map((text, i) => {
    const g = number(text);
    v[i] = 0.9 * v[i] + 0.1 * (g * g);
    theta[i] -= (0.01 * g) / (Math.sqrt(v[i]) + 1e-8);
    return Number.isFinite(theta[i]) ? theta[i] : String(theta[i]); // JSON has no NaN
  }));
  console.log(JSON.stringify({ id, trajectory: rows }));
}
