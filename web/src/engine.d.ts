/** Made by the plug-in in vite.config.ts. */
declare module "virtual:engine" {
  /** Address of ONNX Runtime's WebAssembly, compressed by gzip. */
  export const engineBinary: string;
  /** Address of the script beside it. */
  export const engineScript: string;
}
