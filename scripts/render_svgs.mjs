// Render SVG documents to PNG with resvg's WebAssembly build, whose pixels are the same on every platform.
// stdin: {"module", "wasm": paths, "width": pixels, "documents": [...]}; stdout: [base64 of a PNG, ...]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { module, wasm, width, documents } = JSON.parse(readFileSync(0, "utf8"));
const { initWasm, Resvg } = createRequire(import.meta.url)(module);
await initWasm(readFileSync(wasm));
const images = documents.map((svg) => {
  const image = new Resvg(svg, { fitTo: { mode: "width", value: width } }).render();
  return Buffer.from(image.asPng()).toString("base64");
});
process.stdout.write(JSON.stringify(images));
