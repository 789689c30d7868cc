import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const npm = (name: string): string => fileURLToPath(new URL(`npm/src/${name}`, import.meta.url));
const alias = [
  { find: /^mask2alpha\/png$/, replacement: npm("png.ts") },
  { find: /^mask2alpha$/, replacement: npm("index.ts") },
  // without the copy of the engine's script, which has to be a file of its own to run in threads
  { find: /^onnxruntime-web\/wasm$/, replacement: asset("ort.wasm.min.mjs") },
];

function asset(name: string): string {
  return fileURLToPath(new URL(`node_modules/onnxruntime-web/dist/${name}`, import.meta.url));
}

/** ONNX Runtime's engine for the page without a service: compressed here, because not every host does it. */
function engine(): Plugin {
  const id = "virtual:engine";
  let isBuild = false;
  return {
    name: "engine",
    configResolved: ({ command }) => {
      isBuild = command === "build";
    },
    resolveId: (source) => (source === id ? `\0${id}` : null),
    load(loaded) {
      if (loaded !== `\0${id}`) return null;
      if (!isBuild) return 'export const engineBinary = "", engineScript = "";';
      const emit = (name: string, source: Uint8Array): string =>
        `import.meta.ROLLUP_FILE_URL_${this.emitFile({ type: "asset", name, source })}`;
      const script = emit("engine.js", readFileSync(asset("ort-wasm-simd-threaded.mjs")));
      const binary = emit("engine.dat", gzipSync(readFileSync(asset("ort-wasm-simd-threaded.wasm")), { level: 9 }));
      return `export const engineScript = ${script}, engineBinary = ${binary};`;
    },
  };
}

// The build is committed, so that installing the package needs no Node: see CONTRIBUTING.md.
export default defineConfig({
  base: "./",
  plugins: [engine()],
  resolve: { alias },
  build: {
    outDir: "../src/mask2alpha/web",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox128", "safari17.5"], // the first with light-dark()
    assetsInlineLimit: 0, // the page's security policy allows files only, no data: addresses in styles
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
  server: { proxy: { "/v1": "http://127.0.0.1:8000" } },
});
