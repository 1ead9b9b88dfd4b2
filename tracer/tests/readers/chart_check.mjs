// Checks what Prometheus's operator reads against its schemas: the folder of node_modules, and a file with a list.
import { readFileSync } from "node:fs";

const [modules, file] = process.argv.slice(2);
const { PodMonitor } = await import(
  `${modules}/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/index.js`
);
for (const item of JSON.parse(readFileSync(file))) {
  if (item.kind !== "PodMonitor") throw new Error(`unexpected: ${item.kind}`);
  new PodMonitor(item).validate();
  console.log(item.kind, "is right");
}
