import { defineConfig } from "vite";

// The build is committed, so that installing the package needs no Node: see CONTRIBUTING.md.
export default defineConfig({
  base: "./",
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
